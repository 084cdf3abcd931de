/**
 * A simulator of normal mode across nodes: what a dispatch or combine would take on machines that
 * nobody here has.
 *
 * <p>Ranks, links and chunks of rows are simulated one by one, as discrete events. A rank has five
 * servers, each a queue that works off one chunk after the other: the network card's two
 * directions, the two directions of its load/store links inside the node, and the SMs that copy.
 * The routing is drawn token by token from a seed, so that uneven loads are part of the result. A
 * chunk goes
 *
 * <pre>
 *   dispatch:  SMs copy ─► network card ─► [staging] ─► fan-out to the node's ranks
 *   combine:   node's ranks ─► sum ─► network card ─► [staging] ─► final sum
 * </pre>
 *
 * and the receiver's staging memory is given out by credits: a sender may have a fixed number of
 * chunks on their way to each node. Rates come from measurements or are fitted to published
 * figures; {@code docs/scale.md} says which.
 *
 * <p>Depends on the JDK alone. Started by {@code scripts/scale.sh}.
 */
@NullMarked
package io.github.deepep4j.scale;

import org.jspecify.annotations.NullMarked;
