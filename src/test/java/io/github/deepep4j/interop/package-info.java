/** The adapters, as far as they need no device. */
@NullMarked
package io.github.deepep4j.interop;

import org.jspecify.annotations.NullMarked;
