package io.github.deepep4j.internal.memory;

import java.io.IOException;
import java.lang.invoke.MethodHandle;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/**
 * The operations on raw addresses as method handles, so that one class file serves every JDK from
 * 17 on without a compile-time or run-time warning: {@link UnsafeAccess} up to JDK 21, where {@code
 * java.lang.foreign} is not final yet, {@link ForeignAccess} from 22 on, where {@code
 * sun.misc.Unsafe} is on its way out.
 *
 * <p>{@link RawHandles} asks once and keeps the handles.
 */
interface RawAccess {
  /**
   * Chooses the access for the running JDK.
   *
   * @return the access
   * @throws ReflectiveOperationException if the JDK lacks what its version promises
   */
  static RawAccess ofThisJdk() throws ReflectiveOperationException {
    return Runtime.version().feature() >= 22 ? new ForeignAccess() : new UnsafeAccess();
  }

  /**
   * A plain load, unaligned allowed.
   *
   * @param type a primitive type
   * @return {@code (long address) → type}
   * @throws ReflectiveOperationException if the JDK lacks it
   */
  MethodHandle get(Class<?> type) throws ReflectiveOperationException;

  /**
   * A plain store, unaligned allowed.
   *
   * @param type a primitive type
   * @return {@code (long address, type) → void}
   * @throws ReflectiveOperationException if the JDK lacks it
   */
  MethodHandle put(Class<?> type) throws ReflectiveOperationException;

  /**
   * A load of a word with acquire order.
   *
   * @return {@code (long address) → long}
   * @throws ReflectiveOperationException if the JDK lacks it
   */
  MethodHandle getLongAcquire() throws ReflectiveOperationException;

  /**
   * A store of a word with release order.
   *
   * @return {@code (long address, long) → void}
   * @throws ReflectiveOperationException if the JDK lacks it
   */
  MethodHandle putLongRelease() throws ReflectiveOperationException;

  /**
   * A compare-and-set of a word with volatile order.
   *
   * @return {@code (long address, long expected, long value) → boolean}
   * @throws ReflectiveOperationException if the JDK lacks it
   */
  MethodHandle compareAndSetLong() throws ReflectiveOperationException;

  /**
   * A copy whose ranges may overlap.
   *
   * @return {@code (long from, long to, long bytes) → void}
   * @throws ReflectiveOperationException if the JDK lacks it
   */
  MethodHandle copy() throws ReflectiveOperationException;

  /**
   * A copy from memory to an array, without a check of the array's range.
   *
   * @param element the array's element type
   * @return {@code (long from, Object array, int index, int count) → void}
   * @throws ReflectiveOperationException if the JDK lacks it
   */
  MethodHandle copyToArray(Class<?> element) throws ReflectiveOperationException;

  /**
   * A copy from an array to memory, without a check of the array's range.
   *
   * @param element the array's element type
   * @return {@code (Object array, int index, long to, int count) → void}
   * @throws ReflectiveOperationException if the JDK lacks it
   */
  MethodHandle copyFromArray(Class<?> element) throws ReflectiveOperationException;

  /**
   * A fill.
   *
   * @return {@code (long address, long bytes, byte value) → void}
   * @throws ReflectiveOperationException if the JDK lacks it
   */
  MethodHandle fill() throws ReflectiveOperationException;

  /**
   * An allocation.
   *
   * @return {@code (long bytes) → long address}, 0 or OutOfMemoryError when there is no memory
   * @throws ReflectiveOperationException if the JDK lacks it
   */
  MethodHandle allocate() throws ReflectiveOperationException;

  /**
   * The way back of {@link #allocate}.
   *
   * @return {@code (long address) → void}
   * @throws ReflectiveOperationException if the JDK lacks it
   */
  MethodHandle free() throws ReflectiveOperationException;

  /**
   * The address of a direct buffer's position.
   *
   * @return {@code (ByteBuffer) → long}
   * @throws ReflectiveOperationException if the JDK lacks it
   * @see OffHeap#addressOf(ByteBuffer)
   */
  MethodHandle addressOf() throws ReflectiveOperationException;

  /**
   * Maps the start of a file, shared and writable, as one contiguous range.
   *
   * @param channel the file, which may be closed afterwards
   * @param bytes how much of it, 1 or more, also beyond 2 GiB
   * @return the range, unmapped when closed
   * @throws IOException if the system refuses
   * @throws ReflectiveOperationException if the JDK lacks a way to do it
   */
  Memory map(FileChannel channel, long bytes) throws IOException, ReflectiveOperationException;
}
