package io.github.deepep4j.internal.memory;

import java.nio.ByteBuffer;
import java.util.Objects;

/**
 * Access to raw addresses: the one class through which this library reads and writes memory outside
 * the Java heap.
 *
 * <p><b>No range is checked.</b> A wrong address crashes the JVM or corrupts somebody's data; the
 * callers, layout types that compute addresses from sizes, own the ranges. Only what costs nothing
 * is refused: a negative size, and a range outside a Java array.
 *
 * <p>Values are little-endian, which is the native order of every platform the library runs on.
 * Plain accesses may be unaligned and are atomic only if aligned; {@link #getLongAcquire}, {@link
 * #putLongRelease} and {@link #compareAndSetLong} need a multiple of 8.
 *
 * <p>How it works without a warning on JDK 17 to 25: every operation is a constant method handle
 * that {@link RawAccess} finds for the running JDK. From JDK 22 on the application must grant
 * {@code --enable-native-access}, as for any native library.
 *
 * <p>Thread-safe in the sense that raw memory is: the caller orders conflicting accesses.
 */
public final class OffHeap {
  /** A cache line: what every allocation is aligned to. */
  public static final int ALIGNMENT = 64;

  private OffHeap() {}

  /** Reads a byte. */
  public static byte getByte(long address) {
    try {
      return (byte) RawHandles.GET_BYTE.invokeExact(address);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Writes a byte. */
  public static void putByte(long address, byte value) {
    try {
      RawHandles.PUT_BYTE.invokeExact(address, value);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Reads a short. */
  public static short getShort(long address) {
    try {
      return (short) RawHandles.GET_SHORT.invokeExact(address);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Writes a short. */
  public static void putShort(long address, short value) {
    try {
      RawHandles.PUT_SHORT.invokeExact(address, value);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Reads an int. */
  public static int getInt(long address) {
    try {
      return (int) RawHandles.GET_INT.invokeExact(address);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Writes an int. */
  public static void putInt(long address, int value) {
    try {
      RawHandles.PUT_INT.invokeExact(address, value);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Reads a long. */
  public static long getLong(long address) {
    try {
      return (long) RawHandles.GET_LONG.invokeExact(address);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Writes a long. */
  public static void putLong(long address, long value) {
    try {
      RawHandles.PUT_LONG.invokeExact(address, value);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Reads a float. */
  public static float getFloat(long address) {
    try {
      return (float) RawHandles.GET_FLOAT.invokeExact(address);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Writes a float. */
  public static void putFloat(long address, float value) {
    try {
      RawHandles.PUT_FLOAT.invokeExact(address, value);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /**
   * Reads a word; reads and writes that follow in program order stay behind it.
   *
   * @param address a multiple of 8
   * @return the word
   */
  public static long getLongAcquire(long address) {
    try {
      return (long) RawHandles.GET_LONG_ACQUIRE.invokeExact(address);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /**
   * Writes a word; reads and writes that precede it in program order are visible to whoever reads
   * it by {@link #getLongAcquire}, in this process or another one.
   *
   * @param address a multiple of 8
   * @param value the word
   */
  public static void putLongRelease(long address, long value) {
    try {
      RawHandles.PUT_LONG_RELEASE.invokeExact(address, value);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /**
   * Replaces a word if it has the expected value, atomically and with volatile order.
   *
   * @param address a multiple of 8
   * @param expected what it should be
   * @param value what it becomes
   * @return whether it was replaced
   */
  public static boolean compareAndSetLong(long address, long expected, long value) {
    try {
      return (boolean) RawHandles.COMPARE_AND_SET_LONG.invokeExact(address, expected, value);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /**
   * Copies memory; the ranges may overlap.
   *
   * @param from the first byte to read
   * @param to the first byte to write
   * @param bytes how many
   * @throws IllegalArgumentException if {@code bytes} is negative
   */
  public static void copy(long from, long to, long bytes) {
    requireSize(bytes);
    try {
      RawHandles.COPY.invokeExact(from, to, bytes);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Copies memory to a range of an array, which is checked. */
  public static void copyToArray(long from, byte[] to, int toIndex, int count) {
    Objects.checkFromIndexSize(toIndex, count, to.length);
    try {
      RawHandles.TO_BYTES.invokeExact(from, (Object) to, toIndex, count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Copies a range of an array, which is checked, to memory. */
  public static void copyFromArray(byte[] from, int fromIndex, long to, int count) {
    Objects.checkFromIndexSize(fromIndex, count, from.length);
    try {
      RawHandles.FROM_BYTES.invokeExact((Object) from, fromIndex, to, count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Copies memory to a range of an array, which is checked. */
  public static void copyToArray(long from, short[] to, int toIndex, int count) {
    Objects.checkFromIndexSize(toIndex, count, to.length);
    try {
      RawHandles.TO_SHORTS.invokeExact(from, (Object) to, toIndex, count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Copies a range of an array, which is checked, to memory. */
  public static void copyFromArray(short[] from, int fromIndex, long to, int count) {
    Objects.checkFromIndexSize(fromIndex, count, from.length);
    try {
      RawHandles.FROM_SHORTS.invokeExact((Object) from, fromIndex, to, count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Copies memory to a range of an array, which is checked. */
  public static void copyToArray(long from, int[] to, int toIndex, int count) {
    Objects.checkFromIndexSize(toIndex, count, to.length);
    try {
      RawHandles.TO_INTS.invokeExact(from, (Object) to, toIndex, count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Copies a range of an array, which is checked, to memory. */
  public static void copyFromArray(int[] from, int fromIndex, long to, int count) {
    Objects.checkFromIndexSize(fromIndex, count, from.length);
    try {
      RawHandles.FROM_INTS.invokeExact((Object) from, fromIndex, to, count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Copies memory to a range of an array, which is checked. */
  public static void copyToArray(long from, long[] to, int toIndex, int count) {
    Objects.checkFromIndexSize(toIndex, count, to.length);
    try {
      RawHandles.TO_LONGS.invokeExact(from, (Object) to, toIndex, count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Copies a range of an array, which is checked, to memory. */
  public static void copyFromArray(long[] from, int fromIndex, long to, int count) {
    Objects.checkFromIndexSize(fromIndex, count, from.length);
    try {
      RawHandles.FROM_LONGS.invokeExact((Object) from, fromIndex, to, count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Copies memory to a range of an array, which is checked. */
  public static void copyToArray(long from, float[] to, int toIndex, int count) {
    Objects.checkFromIndexSize(toIndex, count, to.length);
    try {
      RawHandles.TO_FLOATS.invokeExact(from, (Object) to, toIndex, count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Copies a range of an array, which is checked, to memory. */
  public static void copyFromArray(float[] from, int fromIndex, long to, int count) {
    Objects.checkFromIndexSize(fromIndex, count, from.length);
    try {
      RawHandles.FROM_FLOATS.invokeExact((Object) from, fromIndex, to, count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /**
   * Sets every byte of a range.
   *
   * @param address the first byte
   * @param bytes how many
   * @param value what they become
   * @throws IllegalArgumentException if {@code bytes} is negative
   */
  public static void fill(long address, long bytes, byte value) {
    requireSize(bytes);
    try {
      RawHandles.FILL.invokeExact(address, bytes, value);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /**
   * Allocates memory aligned to {@value #ALIGNMENT} bytes. Its content is arbitrary.
   *
   * @param bytes how many, 0 or more, also beyond 2 GiB
   * @return the memory, to be closed by the caller
   * @throws IllegalArgumentException if {@code bytes} is negative
   * @throws OutOfMemoryError if the system refuses, naming the size
   */
  public static Memory allocate(long bytes) {
    requireSize(bytes);
    return Memory.allocate(bytes);
  }

  /**
   * The address of a direct buffer's position. It is valid while the buffer is reachable, which the
   * caller ensures.
   *
   * @param direct a direct buffer
   * @return the address
   * @throws IllegalArgumentException if the buffer is on the Java heap
   */
  public static long addressOf(ByteBuffer direct) {
    if (!direct.isDirect()) {
      throw new IllegalArgumentException("a heap buffer has no fixed address: " + direct);
    }
    try {
      return (long) RawHandles.ADDRESS_OF.invokeExact(direct);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /**
   * Bytes allocated or mapped through this package and not closed yet, for leak tests.
   *
   * @return the bytes
   */
  public static long liveBytes() {
    return Memory.liveBytes();
  }

  /**
   * Ranges allocated or mapped through this package and not closed yet, for leak tests.
   *
   * @return their number
   */
  public static long liveAllocations() {
    return Memory.liveAllocations();
  }

  private static void requireSize(long bytes) {
    if (bytes < 0) {
      throw new IllegalArgumentException("bytes must be 0 or more, not " + bytes);
    }
  }

  /** No handle declares a checked exception; what it throws is passed on as it is. */
  static RuntimeException unexpected(Throwable e) {
    if (e instanceof RuntimeException runtimeException) {
      return runtimeException;
    }
    if (e instanceof Error error) {
      throw error;
    }
    return new IllegalStateException("raw memory access failed", e);
  }
}
