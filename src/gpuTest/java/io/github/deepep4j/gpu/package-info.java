/**
 * What needs a GPU: the CUDA backend against the CPU backend, and what only a device can show. The
 * oracle tests of the package {@code normal} run on a GPU, too, with {@code
 * -Ddeepep4j.test.device=cuda}. scripts/bundle.sh packs all of them for a GPU host.
 */
@NullMarked
package io.github.deepep4j.gpu;

import org.jspecify.annotations.NullMarked;
