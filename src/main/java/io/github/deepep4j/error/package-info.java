/**
 * The one exception hierarchy of DeepEP4J.
 *
 * <p>A caller's mistake is an {@link java.lang.IllegalArgumentException} and a call on something
 * closed, overtaken or busy an {@link java.lang.IllegalStateException}; both are thrown before the
 * call has entered the collective. Everything that other ranks, the machine or the deadline cause
 * is an {@link io.github.deepep4j.error.EpException} with a code, the reporting rank and the
 * operation.
 */
@NullMarked
package io.github.deepep4j.error;

import org.jspecify.annotations.NullMarked;
