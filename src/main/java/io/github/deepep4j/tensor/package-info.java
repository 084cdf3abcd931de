/**
 * Backend-neutral tensors: a description of memory that somebody owns, never a container with
 * arithmetic.
 */
@NullMarked
package io.github.deepep4j.tensor;

import org.jspecify.annotations.NullMarked;
