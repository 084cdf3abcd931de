package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;

/**
 * The events of one buffer, recorded in turn. A mark names one recording. Its event may have been
 * recorded again since: then the answer is that of the later recording, which is never too early,
 * because all calls of a buffer are one sequence on the device. So nothing has to be asked of the
 * device before an event is used again, which a graph capture would not survive.
 */
final class EventRing implements AutoCloseable {
  /** More calls than a host gets ahead of its device. */
  static final int EVENTS = 256;

  private final int device;
  private final long[] events = new long[EVENTS];
  private long recorded;
  private volatile boolean closed;

  EventRing(int device) {
    this.device = device;
    try (Memory out = OffHeap.allocate(Long.BYTES)) {
      for (int i = 0; i < EVENTS; i++) {
        Natives.require(Ep4jNative.eventCreate(device, out.address()), -1, "creating an event");
        events[i] = OffHeap.getLong(out.address());
      }
    }
  }

  /**
   * Marks the work given to a stream so far.
   *
   * @return the mark
   */
  long record(long stream) {
    long mark = recorded++;
    Natives.require(Ep4jNative.eventRecord(device, handle(mark), stream), -1, "recording an event");
    return mark;
  }

  /** The event of a mark, which may have been recorded again. */
  long handle(long mark) {
    return events[(int) (mark % EVENTS)];
  }

  /** Makes a stream wait for a mark. */
  void makeWait(long stream, long mark) {
    Natives.require(
        Ep4jNative.streamWait(device, stream, handle(mark)), -1, "waiting for an event");
  }

  /** Whether a mark has been passed; true once the buffer is closed, which waits for its work. */
  boolean isComplete(long mark) {
    if (closed) {
      return true;
    }
    int status = Ep4jNative.eventQuery(device, handle(mark));
    if (status == Abi.PENDING) {
      return false;
    }
    if (status != Abi.OK) {
      throw new EpException(EpException.Code.DEVICE, -1, "event", Ep4jNative.lastError());
    }
    return true;
  }

  @Override
  public void close() {
    closed = true;
    for (long event : events) {
      // Nothing can be done about a failure here; the process's end frees it.
      int ignored = Ep4jNative.eventDestroy(device, event);
    }
  }
}
