/**
 * Finding NVSHMEM and {@code libep4j_nvshmem.so}, and loading them beside {@code libep4j.so}.
 *
 * <p>{@code libep4j_nvshmem.so} has every function of {@code libep4j.so}, with kernels that know a
 * network, and a buffer of one library is nothing to the other. Both may be needed in one process,
 * and which one is known only when a buffer is made. JNI binds a native method once per class, and
 * classes once per class loader; so the package {@code internal.cuda} is defined a second time, by
 * a loader of its own, over the other library. Nothing in that package knows: it sees the same
 * functions, and what comes out of it are interfaces of {@code internal.backend}.
 */
@NullMarked
package io.github.deepep4j.internal.nvshmem;

import org.jspecify.annotations.NullMarked;
