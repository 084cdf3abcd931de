package io.github.deepep4j.internal.cuda.binding;

import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;

/**
 * One C struct in memory outside the heap, made once and filled again for every call, so that calls
 * make no garbage. Members are addressed by the offsets that the subclasses declare. Not
 * thread-safe.
 */
public abstract class NativeStruct implements AutoCloseable {
  private final Memory memory;
  private final long address;
  private final int size;

  NativeStruct(Shape shape) {
    size = shape.size();
    memory = OffHeap.allocate(size);
    address = memory.address();
    reset();
  }

  /** Zeroes every member but the struct's size. */
  public final void reset() {
    OffHeap.fill(address, size, (byte) 0);
    OffHeap.putLong(address, size);
  }

  /** Where the struct lies; not to be used after {@link #close}. */
  public final long address() {
    return address;
  }

  /**
   * Stores an {@code int32_t}.
   *
   * @param member offset
   * @param value to store
   */
  public final void putInt(int member, int value) {
    OffHeap.putInt(address + member, value);
  }

  /**
   * Stores an {@code int64_t}, {@code uint64_t} or address.
   *
   * @param member offset
   * @param value to store
   */
  public final void putLong(int member, long value) {
    OffHeap.putLong(address + member, value);
  }

  /**
   * Loads an {@code int32_t}.
   *
   * @param member offset
   */
  public final int getInt(int member) {
    return OffHeap.getInt(address + member);
  }

  /**
   * Loads an {@code int64_t}, {@code uint64_t} or address.
   *
   * @param member offset
   */
  public final long getLong(int member) {
    return OffHeap.getLong(address + member);
  }

  /**
   * Loads bytes.
   *
   * @param member offset
   * @param count how many
   */
  final byte[] getBytes(int member, int count) {
    byte[] bytes = new byte[count];
    OffHeap.copyToArray(address + member, bytes, 0, count);
    return bytes;
  }

  @Override
  public final void close() {
    memory.close();
  }
}
