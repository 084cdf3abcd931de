/**
 * {@code ./run tune}, {@code scripts/tune.sh}: looks for the fastest {@link
 * io.github.deepep4j.TuningConfig} of this machine and writes it as a {@link
 * io.github.deepep4j.MeasuredTuning} for a buffer to load.
 *
 * <p>Each knob is tried alone, the others at the best so far. All candidates of a knob take turns
 * several times, so that a machine that slows down slows all of them, and a candidate has to be
 * clearly better than the default to be taken, in each of its turns: a tuning that only follows the
 * noise would be worse than none.
 */
@NullMarked
package io.github.deepep4j.tune;

import org.jspecify.annotations.NullMarked;
