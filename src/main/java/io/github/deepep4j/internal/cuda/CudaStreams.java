package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.Event;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.DeviceEvent;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import org.jspecify.annotations.Nullable;

/**
 * The streams that a buffer's calls run on, and marks of their ends. The native library keeps the
 * calls in one sequence whatever streams they name, by an event at the end of each, which is the
 * call's mark, too. It is not recorded when somebody asks for it, because the caller may by then
 * have given its stream other work, or destroyed it.
 */
final class CudaStreams implements AutoCloseable {
  private final int device;
  private final EventRing events;
  private final long own;

  CudaStreams(int device, long buffer) {
    this.device = device;
    this.events = new EventRing(device, buffer);
    try (Memory out = OffHeap.allocate(Long.BYTES)) {
      Natives.require(Ep4jNative.streamCreate(device, 0, out.address()), -1, "creating a stream");
      own = OffHeap.getLong(out.address());
    }
  }

  EventRing events() {
    return events;
  }

  /** The handle of a stream; the buffer's own where the caller names none. */
  long handle(@Nullable Stream stream) {
    return stream == null ? own : stream.handle();
  }

  /**
   * Starts a call.
   *
   * @param stream that the caller named
   * @param previous what the call starts after
   * @return the stream's handle
   */
  long enter(@Nullable Stream stream, @Nullable Event previous) {
    long handle = handle(stream);
    if (previous != null) {
      startAfter(handle, previous);
    }
    return handle;
  }

  /** A mark of the end of the call, or half of one, that was issued last. */
  long lastEnd() {
    return events.last();
  }

  /**
   * Ends what was given to a stream beside the buffer's calls.
   *
   * @param stream of it
   * @return a mark of its end
   */
  long leave(long stream) {
    return events.record(stream);
  }

  private void startAfter(long stream, Event previous) {
    if (previous instanceof DeviceEvent event) {
      Natives.require(
          Ep4jNative.streamWait(device, stream, event.handle()), -1, "waiting for previousEvent");
    } else if (!previous.isComplete()) {
      previous.synchronize();
    }
  }

  @Override
  public void close() {
    events.close();
    // Nothing can be done about a failure here; the process's end frees it.
    int ignored = Ep4jNative.streamDestroy(device, own);
  }
}
