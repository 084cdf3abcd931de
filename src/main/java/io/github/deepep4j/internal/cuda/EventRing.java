package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.HostWords;
import io.github.deepep4j.internal.memory.OffHeap;

/**
 * The events that the native library records at the ends of one buffer's calls, in turn. A mark
 * names one recording. Its event may have been recorded again since: then the answer is that of the
 * later recording, which is never too early, because all calls of a buffer are one sequence on the
 * device. So nothing has to be asked of the device before an event is used again, which a graph
 * capture would not survive.
 */
final class EventRing implements AutoCloseable {
  private final int device;
  private final long buffer;
  private final long numEnds;
  private final long[] events = new long[Abi.CALL_ENDS];
  private volatile boolean closed;

  EventRing(int device, long buffer) {
    this.device = device;
    this.buffer = buffer;
    try (HostWords words = new HostWords()) {
      Natives.require(Ep4jNative.bufferWords(buffer, words.address()), -1, "finding events");
      numEnds = words.getLong(HostWords.NUM_ENDS);
      for (int i = 0; i < events.length; i++) {
        events[i] = OffHeap.getLong(words.getLong(HostWords.ENDS) + (long) i * Long.BYTES);
      }
    }
  }

  /** The mark of the call, or half of one, that was issued last. By the thread that issued it. */
  long last() {
    return OffHeap.getLong(numEnds) - 1;
  }

  /**
   * Marks work that was given to a stream beside the buffer's calls.
   *
   * @return the mark
   */
  long record(long stream) {
    Natives.require(Ep4jNative.mark(buffer, stream), -1, "recording an event");
    return last();
  }

  /** The event of a mark, which may have been recorded again. */
  long handle(long mark) {
    return events[Math.floorMod(mark, events.length)];
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

  /** The events go with the buffer. */
  @Override
  public void close() {
    closed = true;
  }
}
