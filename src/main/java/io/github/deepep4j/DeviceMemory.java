package io.github.deepep4j;

import io.github.deepep4j.internal.backend.Backends;
import io.github.deepep4j.internal.backend.DeviceSpace;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Tensors on any device, and copies between devices: what code needs to run unchanged on the CPU
 * and on a GPU. All methods are local and blocking and may be called by any thread.
 *
 * <pre>{@code
 * Tensor x = DeviceMemory.copyOf(hostRows, buffer.device());
 * ...
 * Tensor sums = DeviceMemory.toHost(result.combined());
 * }</pre>
 */
public final class DeviceMemory {
  private DeviceMemory() {}

  /**
   * New memory with undefined contents.
   *
   * @param device where
   * @param dtype element type
   * @param shape sizes, each ≥ 0
   * @return a contiguous tensor that owns its memory: {@link Tensor#close()} frees it, and must not
   *     be called while a stream still uses it
   * @throws IllegalArgumentException if a size is negative or the byte size overflows
   * @throws io.github.deepep4j.error.BackendUnavailableException if the device does not work here
   * @throws io.github.deepep4j.error.EpException {@code DEVICE} if it has no memory left
   */
  public static Tensor allocate(Device device, DType dtype, long... shape) {
    if (device.isCpu()) {
      return Tensor.allocate(dtype, shape);
    }
    DeviceSpace space = Backends.space(device);
    long bytes = Math.max(1, bytes(dtype, shape));
    long address = space.allocate(bytes);
    return Tensor.ofAddress(address, dtype, device, new Allocation(space, address), shape);
  }

  /**
   * A copy in new memory. The source must be complete: no stream may still write it.
   *
   * @param from a contiguous tensor anywhere
   * @param device where the copy goes
   * @return a contiguous tensor that owns its memory
   * @throws IllegalArgumentException if the source is not contiguous
   * @throws io.github.deepep4j.error.BackendUnavailableException if a device does not work here
   * @throws io.github.deepep4j.error.EpException {@code DEVICE} if the copy failed
   */
  public static Tensor copyOf(Tensor from, Device device) {
    Tensor to = allocate(device, from.dtype(), from.shape());
    boolean done = false;
    try {
      copy(from, to);
      done = true;
      return to;
    } finally {
      if (!done) {
        to.close();
      }
    }
  }

  /**
   * A copy in new host memory.
   *
   * @param from a contiguous, complete tensor anywhere
   * @return a contiguous host tensor that owns its memory
   * @throws IllegalArgumentException if the source is not contiguous
   * @throws io.github.deepep4j.error.EpException {@code DEVICE} if the copy failed
   */
  public static Tensor toHost(Tensor from) {
    return copyOf(from, Device.cpu());
  }

  /**
   * Copies all elements. No stream may still write the source or use the destination.
   *
   * @param from a contiguous tensor anywhere
   * @param to a contiguous tensor anywhere, of the same dtype and number of elements
   * @throws IllegalArgumentException if dtype, size or strides do not fit
   * @throws io.github.deepep4j.error.EpException {@code DEVICE} if the copy failed
   */
  public static void copy(Tensor from, Tensor to) {
    if (from.dtype() != to.dtype()
        || from.numElements() != to.numElements()
        || !from.isContiguous()
        || !to.isContiguous()) {
      throw new IllegalArgumentException(to + " cannot take a copy of " + from);
    }
    if (from.byteSize() > 0) {
      Device device = from.device().isCpu() ? to.device() : from.device();
      Backends.space(device).copy(from.address(), to.address(), from.byteSize());
    }
  }

  /**
   * Blocks until all work given to a stream so far has finished.
   *
   * @param stream of any device
   * @throws io.github.deepep4j.error.EpException {@code DEVICE} if the work failed, {@code
   *     INTERRUPTED} if the thread was interrupted
   */
  public static void synchronize(Stream stream) {
    Backends.space(stream.device()).synchronize(stream);
  }

  private static long bytes(DType dtype, long[] shape) {
    long bytes = dtype.bytes();
    try {
      for (long size : shape) {
        if (size < 0) {
          throw new IllegalArgumentException("size must be >= 0: " + size);
        }
        bytes = Math.multiplyExact(bytes, size);
      }
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "byte size of " + dtype + java.util.Arrays.toString(shape) + " overflows 64 bits", e);
    }
    return bytes;
  }

  /** Device memory that its tensor owns. */
  private static final class Allocation implements Tensor.Owner {
    private final DeviceSpace space;
    private final long address;
    private final AtomicBoolean freed = new AtomicBoolean();

    Allocation(DeviceSpace space, long address) {
      this.space = space;
      this.address = address;
    }

    @Override
    public void checkOpen() {
      if (freed.get()) {
        throw new IllegalStateException("the tensor's memory was freed by close()");
      }
    }

    @Override
    public void free() {
      if (freed.compareAndSet(false, true)) {
        space.free(address);
      }
    }
  }
}
