/** Tests of tensors. */
@NullMarked
package io.github.deepep4j.tensor;

import org.jspecify.annotations.NullMarked;
