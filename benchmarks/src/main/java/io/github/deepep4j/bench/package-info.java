/**
 * JMH benchmarks of dispatch and combine.
 *
 * <p><b>What is timed.</b> A benchmark invocation is one collective operation of all ranks. {@link
 * RankTeam} starts it on every rank's thread and ends it when the last rank has returned, so the
 * time is the slowest rank's, start included. Inside lie the public call, {@code receive()}, and
 * {@code close()} of the result; nothing else. Inputs do not change between calls and the caches
 * are not flushed: what the previous call left in them is there.
 *
 * <p><b>On GPUs</b> there are two clocks. The host's runs from the call until the host sees that
 * the result is complete. The GPU's, {@link GpuYardstick}, runs between two events on each rank's
 * stream while all ranks' work is held at a gate until it is queued; it is measured before each
 * iteration. What a combine reads in place is handed out before either clock starts.
 *
 * <p><b>How bytes are counted.</b> {@link Traffic} says it in words; every GB/s here is per rank,
 * 10^9 bytes, computed from the median time.
 *
 * <p><b>What it is compared with.</b> At the start of each iteration as many bytes are copied as
 * the operation moves, {@link Yardstick}: by the same threads with {@link PlainCopy}, or by as many
 * multiprocessors as the device's ranks have, gathering rows. The ratio is of medians of one
 * iteration, so that both feel the same neighbours.
 *
 * <p><b>Whether it is right.</b> When a benchmark ends, each rank repeats the operation on changed
 * inputs and compares every byte of the result with a closed form; a difference fails the run.
 */
@NullMarked
package io.github.deepep4j.bench;

import org.jspecify.annotations.NullMarked;
