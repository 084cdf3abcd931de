package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.Stream;
import io.github.deepep4j.TuningConfig;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.backend.DeviceSpace;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.IntSupplier;

/**
 * One device's memory for users' tensors. Everything is stream-ordered on a stream of its own: a
 * plain allocation or free would make other streams of the device wait, and a rank of this process
 * may be waiting there for this very thread.
 */
final class CudaSpace implements DeviceSpace {
  private static final Map<Integer, CudaSpace> SPACES = new ConcurrentHashMap<>();

  private final int device;
  private final long stream;

  private CudaSpace(int device) {
    this.device = device;
    try (Memory out = OffHeap.allocate(Long.BYTES)) {
      require(Ep4jNative.streamCreate(device, out.address()), "creating a stream");
      stream = OffHeap.getLong(out.address());
    }
  }

  /** The space of a device that exists; one for the process. */
  static CudaSpace of(int device) {
    return SPACES.computeIfAbsent(device, CudaSpace::new);
  }

  @Override
  public long allocate(long bytes) {
    try (Memory out = OffHeap.allocate(Long.BYTES)) {
      require(
          Ep4jNative.memoryAllocate(device, bytes, stream, out.address()),
          "allocating " + bytes + " bytes on cuda:" + device);
      awaitStream(stream, "allocation");
      return OffHeap.getLong(out.address());
    }
  }

  @Override
  public void free(long address) {
    require(Ep4jNative.memoryFree(device, address, stream), "freeing device memory");
  }

  @Override
  public void copy(long from, long to, long bytes) {
    require(Ep4jNative.memoryCopy(device, to, from, bytes, stream), "device copy");
    awaitStream(stream, "device copy");
  }

  @Override
  public boolean isComplete(long event) {
    return isDone(Ep4jNative.eventQuery(device, event), "event");
  }

  @Override
  public void synchronize(long event) {
    await(() -> Ep4jNative.eventQuery(device, event), "event");
  }

  @Override
  public void synchronize(Stream awaited) {
    awaitStream(awaited.handle(), "synchronize");
  }

  private void awaitStream(long awaited, String operation) {
    await(() -> Ep4jNative.streamQuery(device, awaited), operation);
  }

  private static void await(IntSupplier query, String operation) {
    Backoff backoff = new Backoff(TuningConfig.defaults());
    while (!isDone(query.getAsInt(), operation)) {
      if (!backoff.pause()) {
        throw new EpException(
            EpException.Code.INTERRUPTED,
            -1,
            operation,
            "the thread was interrupted while it waited for the device");
      }
    }
  }

  private static boolean isDone(int status, String operation) {
    if (status == Abi.PENDING) {
      return false;
    }
    require(status, operation);
    return true;
  }

  private static void require(int status, String operation) {
    Natives.require(status, -1, operation);
  }
}
