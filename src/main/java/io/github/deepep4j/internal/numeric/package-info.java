/**
 * The number formats that rows travel in: BF16, E4M3 with a scale per 128 channels, and LogFMT-10.
 *
 * <p>Everything here is defined to the bit and computed in plain Java, so that a row cast on the
 * CPU equals the same row cast on a GPU. Only LogFMT-10 is exempt, since its logarithms round
 * differently on other machines; between JVMs it is deterministic too. The classes are stateless
 * functions over heap arrays that allocate nothing: a backend copies a row from its off-heap region
 * into scratch arrays, casts it, and copies the result out.
 */
@NullMarked
package io.github.deepep4j.internal.numeric;

import org.jspecify.annotations.NullMarked;
