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

  /** Taken at once and kept: what small tensors and results are carved from later. */
  private static final long RESERVE_BYTES = 64L << 20;

  private static final long FIRST_COPY_BYTES = 1L << 20;

  private final int device;
  private final long stream;

  private CudaSpace(int device) {
    this.device = device;
    try (Memory out = OffHeap.allocate(Long.BYTES)) {
      require(Ep4jNative.streamCreate(device, 1, out.address()), "creating a stream");
      stream = OffHeap.getLong(out.address());
    }
    prepare();
  }

  /**
   * Does once what the first allocation and the first copies of a process do: the pool grows, the
   * driver makes its staging memory. Either can wait for all work of the device, so it must not
   * happen while a kernel of another rank of this process waits for the rank that does it.
   */
  private void prepare() {
    long memory = allocate(RESERVE_BYTES);
    try (Memory host = OffHeap.allocate(FIRST_COPY_BYTES)) {
      OffHeap.fill(host.address(), FIRST_COPY_BYTES, (byte) 0);
      copy(host.address(), memory, FIRST_COPY_BYTES);
      copy(memory, memory + FIRST_COPY_BYTES, FIRST_COPY_BYTES);
      copy(memory, host.address(), FIRST_COPY_BYTES);
    }
    free(memory);
    awaitOwnStream("preparing device memory");
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
      awaitOwnStream("allocation");
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
    awaitOwnStream("device copy");
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

  @Override
  public long record(Stream recorded, Runnable calls) {
    try (Memory out = OffHeap.allocate(Long.BYTES)) {
      require(Ep4jNative.graphBegin(device, recorded.handle()), "beginning a graph");
      boolean done = false;
      try {
        calls.run();
        done = true;
      } finally {
        int status = Ep4jNative.graphEnd(device, recorded.handle(), out.address());
        if (done) {
          require(status, "recording a graph");
        } else if (status == Abi.OK) {
          destroy(OffHeap.getLong(out.address()));
        }
      }
      return OffHeap.getLong(out.address());
    }
  }

  @Override
  public void launch(long graph, Stream onto) {
    require(Ep4jNative.graphLaunch(device, graph, onto.handle()), "launching a graph");
  }

  @Override
  public void destroy(long graph) {
    require(Ep4jNative.graphDestroy(device, graph), "ending a graph");
  }

  /**
   * Waits for the stream of this space, interrupted or not: nothing on it waits for a rank, and
   * what is queued there writes to memory that the caller may free once it has been told of the
   * interrupt.
   */
  private void awaitOwnStream(String operation) {
    Backoff backoff = new Backoff(TuningConfig.defaults());
    boolean interrupted = false;
    try {
      while (!isDone(Ep4jNative.streamQuery(device, stream), operation)) {
        if (!backoff.pause()) {
          interrupted |= Thread.interrupted();
        }
      }
    } finally {
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
    }
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
