/**
 * Expert-parallel communication for Mixture-of-Experts models: every token's row goes to the ranks
 * of its experts (dispatch), and the experts' rows come back and are summed (combine).
 *
 * <p>{@link io.github.deepep4j.Buffer} is the entry point. The backend behind it is chosen by
 * device: the embedded CPU backend runs everywhere. This package names no type from outside the JDK
 * and the project.
 */
@NullMarked
package io.github.deepep4j;

import org.jspecify.annotations.NullMarked;
