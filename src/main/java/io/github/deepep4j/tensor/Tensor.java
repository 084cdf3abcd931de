package io.github.deepep4j.tensor;

import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A description of memory: address, element type, shape, strides, device and owner. It has no
 * arithmetic; it is how rows go into and come out of a buffer without a copy.
 *
 * <p>Immutable and safe to share between threads; the memory behind it is not synchronised. A
 * tensor keeps its owner reachable. If the owner is a {@link Lifetime}, every access through the
 * tensor first asks it, so that a tensor of a closed result is refused by name instead of reading
 * somebody else's rows.
 *
 * <pre>{@code
 * try (Tensor x = Tensor.allocate(DType.BF16, 512, 7168)) {
 *   x.copyFrom(values);                       // short[512 * 7168]
 *   long row3 = x.address() + 3 * 7168 * 2L;  // native interop
 * }
 * Tensor wrapped = Tensor.ofBuffer(directBuffer, DType.FLOAT32, 512, 8);
 * }</pre>
 */
public final class Tensor implements AutoCloseable {
  /** Something whose end makes its tensors unusable. */
  public interface Lifetime {
    /**
     * Returns if the memory may be used.
     *
     * @throws IllegalStateException naming what was closed
     */
    void checkOpen();
  }

  /** A lifetime that a tensor's own {@link #close} ends. */
  public interface Owner extends Lifetime {
    /** Gives the memory back. Idempotent. */
    void free();
  }

  private final long address;
  private final DType dtype;
  private final long[] shape;
  private final long[] strides;
  private final Device device;
  private final @Nullable Object owner;

  private Tensor(
      long address,
      DType dtype,
      Device device,
      @Nullable Object owner,
      long[] shape,
      long[] strides) {
    this.address = address;
    this.dtype = Objects.requireNonNull(dtype, "dtype");
    this.device = Objects.requireNonNull(device, "device");
    this.owner = owner;
    this.shape = shape;
    this.strides = strides;
  }

  /**
   * New host memory, aligned to 64 bytes, not zeroed. The tensor owns it: {@link #close} frees it.
   *
   * @param dtype element type
   * @param shape sizes, each ≥ 0; the total may exceed 2 GiB
   * @return a contiguous tensor
   * @throws IllegalArgumentException if a size is negative or the byte size overflows
   */
  public static Tensor allocate(DType dtype, long... shape) {
    long[] sizes = checkedShape(shape);
    var memory = OffHeap.allocate(byteSize(dtype, sizes));
    return new Tensor(
        memory.address(), dtype, Device.cpu(), new OwnMemory(memory), sizes, rowMajor(sizes));
  }

  /**
   * New host memory filled with zero bytes.
   *
   * @param dtype element type
   * @param shape sizes, each ≥ 0
   * @return a contiguous tensor that owns its memory
   * @throws IllegalArgumentException if a size is negative or the byte size overflows
   */
  public static Tensor zeros(DType dtype, long... shape) {
    Tensor tensor = allocate(dtype, shape);
    OffHeap.fill(tensor.address, tensor.byteSize(), (byte) 0);
    return tensor;
  }

  /**
   * The memory of a direct buffer from its position on, without a copy; the buffer stays reachable.
   *
   * @param buffer a direct buffer with at least the bytes that the shape needs remaining
   * @param dtype element type; the buffer's byte order is ignored, memory is little-endian
   * @param shape sizes, each ≥ 0
   * @return a contiguous tensor that aliases the buffer
   * @throws IllegalArgumentException if the buffer is a heap buffer or too small
   */
  public static Tensor ofBuffer(ByteBuffer buffer, DType dtype, long... shape) {
    long[] sizes = checkedShape(shape);
    if (!buffer.isDirect()) {
      throw new IllegalArgumentException("the ByteBuffer must be direct, this one is on the heap");
    }
    long needed = byteSize(dtype, sizes);
    if (buffer.remaining() < needed) {
      throw new IllegalArgumentException(
          "shape "
              + Arrays.toString(sizes)
              + " of "
              + dtype
              + " needs "
              + needed
              + " bytes, the buffer has "
              + buffer.remaining()
              + " remaining");
    }
    return new Tensor(
        OffHeap.addressOf(buffer), dtype, Device.cpu(), buffer, sizes, rowMajor(sizes));
  }

  /**
   * A contiguous tensor over memory that somebody else keeps valid.
   *
   * @param address first byte
   * @param dtype element type
   * @param device where the memory lives
   * @param owner kept reachable as long as the tensor, asked on access if it is a {@link Lifetime};
   *     may be null
   * @param shape sizes, each ≥ 0
   * @return the tensor; closing it frees nothing, unless the owner is an {@link Owner}
   * @throws IllegalArgumentException if a size is negative, the byte size overflows, or the address
   *     is 0 and the tensor not empty
   */
  public static Tensor ofAddress(
      long address, DType dtype, Device device, @Nullable Object owner, long... shape) {
    long[] sizes = checkedShape(shape);
    byteSize(dtype, sizes);
    return checkedAddress(new Tensor(address, dtype, device, owner, sizes, rowMajor(sizes)));
  }

  /**
   * This memory seen with another shape and explicit strides, such as the column-major scales of
   * the low-latency mode.
   *
   * @param newShape sizes, each ≥ 0
   * @param newStrides distance between neighbours in elements, one per dimension, each ≥ 0
   * @return a tensor over the same memory with the same owner; closing it closes the owner's memory
   *     if this tensor's close would
   * @throws IllegalArgumentException if the lengths differ, a stride is negative, or the view
   *     reaches past this tensor's last byte
   */
  public Tensor view(long[] newShape, long[] newStrides) {
    long[] sizes = checkedShape(newShape);
    if (newStrides.length != sizes.length) {
      throw new IllegalArgumentException(
          "shape has " + sizes.length + " dimensions, strides " + newStrides.length);
    }
    for (long stride : newStrides) {
      if (stride < 0) {
        throw new IllegalArgumentException("stride must be >= 0: " + Arrays.toString(newStrides));
      }
    }
    byteSize(dtype, sizes);
    Tensor view = new Tensor(address, dtype, device, owner, sizes, newStrides.clone());
    if (view.spanElements() > spanElements()) {
      throw new IllegalArgumentException(
          "view " + view + " reaches past " + spanElements() + " elements of " + this);
    }
    return view;
  }

  /**
   * Rows {@code from} (inclusive) to {@code to} (exclusive) of the first dimension, without a copy.
   *
   * @param from first row
   * @param to row after the last
   * @return a tensor over the same memory
   * @throws IllegalArgumentException if the tensor has no dimension
   * @throws IndexOutOfBoundsException if the range is not inside the first dimension
   */
  public Tensor rows(long from, long to) {
    if (shape.length == 0) {
      throw new IllegalArgumentException("a tensor without dimensions has no rows");
    }
    Objects.checkFromToIndex(from, to, shape[0]);
    long[] sizes = shape.clone();
    sizes[0] = to - from;
    long start = address + from * strides[0] * dtype.bytes();
    return new Tensor(start, dtype, device, owner, sizes, strides.clone());
  }

  /**
   * A host tensor with a copy of the values.
   *
   * @param values row-major values; as many as the shape has elements
   * @param shape sizes
   * @return FLOAT32, owning its memory
   * @throws IllegalArgumentException if the number of values is not the shape's
   */
  public static Tensor copyOf(float[] values, long... shape) {
    return allocate(DType.FLOAT32, shape).copyFrom(values);
  }

  /**
   * A host tensor with a copy of the values.
   *
   * @param values row-major values; as many as the shape has elements
   * @param shape sizes
   * @return INT32, owning its memory
   * @throws IllegalArgumentException if the number of values is not the shape's
   */
  public static Tensor copyOf(int[] values, long... shape) {
    return allocate(DType.INT32, shape).copyFrom(values);
  }

  /**
   * A host tensor with a copy of the values.
   *
   * @param values row-major values; as many as the shape has elements
   * @param shape sizes
   * @return INT64, owning its memory
   * @throws IllegalArgumentException if the number of values is not the shape's
   */
  public static Tensor copyOf(long[] values, long... shape) {
    return allocate(DType.INT64, shape).copyFrom(values);
  }

  /**
   * A host tensor with a copy of raw BF16 bits.
   *
   * @param bits row-major BF16 bit patterns; as many as the shape has elements
   * @param shape sizes
   * @return BF16, owning its memory
   * @throws IllegalArgumentException if the number of values is not the shape's
   */
  public static Tensor copyOf(short[] bits, long... shape) {
    return allocate(DType.BF16, shape).copyFrom(bits);
  }

  /**
   * A host tensor with a copy of one-byte elements.
   *
   * @param dtype {@link DType#FP8_E4M3} or {@link DType#UINT8}
   * @param bytes row-major elements; as many as the shape has
   * @param shape sizes
   * @return the tensor, owning its memory
   * @throws IllegalArgumentException if the dtype is wider or the number of values is not the
   *     shape's
   */
  public static Tensor copyOf(DType dtype, byte[] bytes, long... shape) {
    return allocate(dtype, shape).copyFrom(bytes);
  }

  /**
   * Overwrites the elements of a contiguous host tensor.
   *
   * @param values FLOAT32 or INT32 bits as {@code float}; as many as elements
   * @return this
   * @throws IllegalArgumentException if the dtype or the number of values does not fit
   * @throws IllegalStateException if the tensor is on a device or its owner is closed
   */
  public Tensor copyFrom(float[] values) {
    OffHeap.copyFromArray(values, 0, hostElements(values.length, 4, "float[]"), values.length);
    return this;
  }

  /**
   * Overwrites the elements of a contiguous host tensor.
   *
   * @param values values of a 4-byte dtype; as many as elements
   * @return this
   * @throws IllegalArgumentException if the dtype or the number of values does not fit
   * @throws IllegalStateException if the tensor is on a device or its owner is closed
   */
  public Tensor copyFrom(int[] values) {
    OffHeap.copyFromArray(values, 0, hostElements(values.length, 4, "int[]"), values.length);
    return this;
  }

  /**
   * Overwrites the elements of a contiguous host tensor.
   *
   * @param values values of INT64; as many as elements
   * @return this
   * @throws IllegalArgumentException if the dtype or the number of values does not fit
   * @throws IllegalStateException if the tensor is on a device or its owner is closed
   */
  public Tensor copyFrom(long[] values) {
    OffHeap.copyFromArray(values, 0, hostElements(values.length, 8, "long[]"), values.length);
    return this;
  }

  /**
   * Overwrites the elements of a contiguous host tensor.
   *
   * @param bits BF16 bit patterns; as many as elements
   * @return this
   * @throws IllegalArgumentException if the dtype or the number of values does not fit
   * @throws IllegalStateException if the tensor is on a device or its owner is closed
   */
  public Tensor copyFrom(short[] bits) {
    OffHeap.copyFromArray(bits, 0, hostElements(bits.length, 2, "short[]"), bits.length);
    return this;
  }

  /**
   * Overwrites the elements of a contiguous host tensor.
   *
   * @param bytes elements of a one-byte dtype; as many as elements
   * @return this
   * @throws IllegalArgumentException if the dtype or the number of values does not fit
   * @throws IllegalStateException if the tensor is on a device or its owner is closed
   */
  public Tensor copyFrom(byte[] bytes) {
    OffHeap.copyFromArray(bytes, 0, hostElements(bytes.length, 1, "byte[]"), bytes.length);
    return this;
  }

  /**
   * A copy of a contiguous host tensor of a 4-byte dtype.
   *
   * @return its elements, row-major
   * @throws IllegalArgumentException if the dtype does not fit, or there are more than an array
   *     holds
   * @throws IllegalStateException if the tensor is on a device or its owner is closed
   */
  public float[] toFloats() {
    float[] out = new float[arrayLength()];
    OffHeap.copyToArray(hostElements(out.length, 4, "float[]"), out, 0, out.length);
    return out;
  }

  /**
   * A copy of a contiguous host tensor of a 4-byte dtype.
   *
   * @return its elements, row-major
   * @throws IllegalArgumentException if the dtype does not fit, or there are more than an array
   *     holds
   * @throws IllegalStateException if the tensor is on a device or its owner is closed
   */
  public int[] toInts() {
    int[] out = new int[arrayLength()];
    OffHeap.copyToArray(hostElements(out.length, 4, "int[]"), out, 0, out.length);
    return out;
  }

  /**
   * A copy of a contiguous host tensor of INT64.
   *
   * @return its elements, row-major
   * @throws IllegalArgumentException if the dtype does not fit, or there are more than an array
   *     holds
   * @throws IllegalStateException if the tensor is on a device or its owner is closed
   */
  public long[] toLongs() {
    long[] out = new long[arrayLength()];
    OffHeap.copyToArray(hostElements(out.length, 8, "long[]"), out, 0, out.length);
    return out;
  }

  /**
   * A copy of a contiguous host tensor of BF16, as bit patterns.
   *
   * @return its elements, row-major
   * @throws IllegalArgumentException if the dtype does not fit, or there are more than an array
   *     holds
   * @throws IllegalStateException if the tensor is on a device or its owner is closed
   */
  public short[] toShorts() {
    short[] out = new short[arrayLength()];
    OffHeap.copyToArray(hostElements(out.length, 2, "short[]"), out, 0, out.length);
    return out;
  }

  /**
   * A copy of a contiguous host tensor of a one-byte dtype.
   *
   * @return its elements, row-major
   * @throws IllegalArgumentException if the dtype does not fit, or there are more than an array
   *     holds
   * @throws IllegalStateException if the tensor is on a device or its owner is closed
   */
  public byte[] toBytes() {
    byte[] out = new byte[arrayLength()];
    OffHeap.copyToArray(hostElements(out.length, 1, "byte[]"), out, 0, out.length);
    return out;
  }

  /**
   * First byte.
   *
   * @return the address, in {@link #device()}'s address space
   * @throws IllegalStateException if the owner is a closed {@link Lifetime}
   */
  public long address() {
    if (owner instanceof Lifetime lifetime) {
      lifetime.checkOpen();
    }
    return address;
  }

  /**
   * Element type.
   *
   * @return the type
   */
  public DType dtype() {
    return dtype;
  }

  /**
   * Where the memory lives.
   *
   * @return the device
   */
  public Device device() {
    return device;
  }

  /**
   * Number of dimensions.
   *
   * @return 0 or more
   */
  public int dimensions() {
    return shape.length;
  }

  /**
   * Size of one dimension.
   *
   * @param dimension from 0 to {@link #dimensions()} − 1
   * @return its size
   */
  public long size(int dimension) {
    return shape[dimension];
  }

  /**
   * All sizes.
   *
   * @return a copy
   */
  public long[] shape() {
    return shape.clone();
  }

  /**
   * Distance between neighbours in one dimension.
   *
   * @param dimension from 0 to {@link #dimensions()} − 1
   * @return elements
   */
  public long stride(int dimension) {
    return strides[dimension];
  }

  /**
   * Number of elements.
   *
   * @return the product of the sizes
   */
  public long numElements() {
    long product = 1;
    for (long size : shape) {
      product *= size;
    }
    return product;
  }

  /**
   * Bytes of the elements, gaps between strides not counted.
   *
   * @return {@link #numElements()} times the element size
   */
  public long byteSize() {
    return numElements() * dtype.bytes();
  }

  /**
   * Whether the elements lie row-major without gaps.
   *
   * @return true if contiguous; empty tensors are
   */
  public boolean isContiguous() {
    long expected = 1;
    for (int d = shape.length - 1; d >= 0; d--) {
      if (shape[d] == 0) {
        return true;
      }
      if (shape[d] != 1 && strides[d] != expected) {
        return false;
      }
      expected *= shape[d];
    }
    return true;
  }

  /**
   * Frees the memory if a factory of this library allocated it, or its owner is an {@link Owner};
   * else does nothing. Idempotent.
   */
  @Override
  public void close() {
    if (owner instanceof Owner own) {
      own.free();
    }
  }

  @Override
  public String toString() {
    return dtype
        + Arrays.toString(shape)
        + (isContiguous() ? "" : " strides " + Arrays.toString(strides))
        + "@"
        + device;
  }

  /** Memory that a factory of this class allocated. */
  private record OwnMemory(Memory memory) implements Owner {
    @Override
    public void free() {
      memory.close();
    }

    @Override
    public void checkOpen() {
      if (memory.isClosed()) {
        throw new IllegalStateException("the tensor's memory was freed by close()");
      }
    }
  }

  private long hostElements(int length, int elementBytes, String array) {
    if (!device.isCpu()) {
      throw new IllegalStateException("a " + array + " copy needs a host tensor, this is " + this);
    }
    if (dtype.bytes() != elementBytes || !isContiguous() || numElements() != length) {
      throw new IllegalArgumentException("a " + array + " of " + length + " does not fit " + this);
    }
    return address();
  }

  private int arrayLength() {
    long elements = numElements();
    if (elements > Integer.MAX_VALUE - 8) {
      throw new IllegalArgumentException(this + " has more elements than a Java array holds");
    }
    return (int) elements;
  }

  /** Elements from the first to the last one, gaps included; the largest long if there are more. */
  private long spanElements() {
    long last = 0;
    for (int d = 0; d < shape.length; d++) {
      if (shape[d] == 0) {
        return 0;
      }
      long high = Math.multiplyHigh(shape[d] - 1, strides[d]);
      long step = (shape[d] - 1) * strides[d];
      if (high != 0 || step < 0 || last + step < 0) {
        return Long.MAX_VALUE;
      }
      last += step;
    }
    return last + 1;
  }

  private static Tensor checkedAddress(Tensor tensor) {
    if (tensor.address == 0 && tensor.numElements() > 0) {
      throw new IllegalArgumentException("address 0 for " + tensor);
    }
    return tensor;
  }

  private static long[] checkedShape(long[] shape) {
    for (long size : shape) {
      if (size < 0) {
        throw new IllegalArgumentException("size must be >= 0: " + Arrays.toString(shape));
      }
    }
    return shape.clone();
  }

  private static long byteSize(DType dtype, long[] shape) {
    long bytes = dtype.bytes();
    try {
      for (long size : shape) {
        bytes = Math.multiplyExact(bytes, size);
      }
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "byte size of " + dtype + Arrays.toString(shape) + " overflows 64 bits", e);
    }
    return bytes;
  }

  private static long[] rowMajor(long[] shape) {
    long[] strides = new long[shape.length];
    long step = 1;
    for (int d = shape.length - 1; d >= 0; d--) {
      strides[d] = step;
      step *= Math.max(shape[d], 1);
    }
    return strides;
  }
}
