/**
 * The CUDA backend: the host's half of the protocol whose device half is {@code native/}.
 *
 * <p>The native library issues kernels and answers on which addresses; this package chooses what
 * needs no device to be chosen (regions, outputs and handles by number, memory of owned results),
 * keeps the calls of a buffer in one sequence whatever streams they name, waits for counts in the
 * exact form, and turns what a device reports into the exceptions that the CPU backend throws.
 *
 * <p>{@code CudaBuffer} ties the parts together; {@code CudaRank} is what they share. Nothing on
 * the way of a dispatch or combine makes a JavaCPP object or takes a lock that another rank could
 * hold.
 */
@NullMarked
package io.github.deepep4j.internal.cuda;

import org.jspecify.annotations.NullMarked;
