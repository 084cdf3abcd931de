/**
 * Memory outside the Java heap: raw access, allocation, and windows that several ranks share.
 *
 * <p>The idea: a rank writes rows straight to their final place in another rank's memory, so the
 * data path is addressed by plain {@code long} addresses. {@link
 * io.github.deepep4j.internal.memory.OffHeap} is the only class that reads or writes through such
 * an address, {@link io.github.deepep4j.internal.memory.Memory} is what owns one, and {@link
 * io.github.deepep4j.internal.memory.SharedWindow} makes one per rank and shows it to all others,
 * whether they are threads of this JVM or processes of this host.
 *
 * <p>Nothing here checks a range: the layout types that hand out addresses own that.
 */
@NullMarked
package io.github.deepep4j.internal.memory;

import org.jspecify.annotations.NullMarked;
