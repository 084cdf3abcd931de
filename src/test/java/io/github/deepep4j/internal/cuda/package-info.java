/** The CUDA backend's host side, as far as it needs no device. */
@NullMarked
package io.github.deepep4j.internal.cuda;

import org.jspecify.annotations.NullMarked;
