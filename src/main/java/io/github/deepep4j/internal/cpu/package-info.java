/**
 * The embedded CPU backend: pure Java, off-heap, one thread per rank, no coordinator.
 *
 * <p>Every rank has a window that its peers can address. A normal-mode dispatch is four steps, each
 * a message with one writer:
 *
 * <ol>
 *   <li><b>Counts</b>: a source tells each destination how many rows it has for it.
 *   <li><b>Grant</b>: the destination alone decides. It takes prefix sums over its sources and
 *       tells each one where its rows begin, or why nothing may be sent.
 *   <li><b>Rows</b> are written once, at their final place, with their metadata beside them.
 *   <li><b>Arrival</b>: one word per region and source, stored with release after the last row.
 * </ol>
 *
 * <p>A combine pulls: the expert's rank publishes where its outputs lie, the token's rank reads and
 * sums them, then says that it has read. Low latency needs no counts and no grant: the destination
 * has given a credit for a region ahead of time, rows go to fixed slots, and the receiver closes
 * the gaps. Nothing is zeroed between calls, because epochs only grow.
 *
 * <p>{@code CpuBuffer} ties the parts together; {@code Waits} is the only place that waits for
 * another rank, and so the only one that knows deadlines, masks and failures.
 */
@NullMarked
package io.github.deepep4j.internal.cpu;

import org.jspecify.annotations.NullMarked;
