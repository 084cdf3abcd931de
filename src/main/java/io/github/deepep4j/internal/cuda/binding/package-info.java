/**
 * The native library's C ABI as Java methods: addresses, handles and structs are {@code long}s, and
 * no JavaCPP type leaves this package. {@link
 * io.github.deepep4j.internal.cuda.binding.NativeLibrary} loads it and says why where it can't;
 * touching any other class that calls native code before {@code NativeLibrary} said yes is a bug.
 *
 * <p>Structs are off-heap memory with their offsets in {@code Shape}s that follow the header member
 * by member. A test reads {@code native/include/ep4j.h} and compares; loading compares the sizes
 * with the compiler's.
 */
@NullMarked
package io.github.deepep4j.internal.cuda.binding;

import org.jspecify.annotations.NullMarked;
