package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.MeasuringNative;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;

/** GPU time between two points of one stream, for benchmarks. Used by one thread. */
public final class DeviceTimer implements AutoCloseable {
  private final int device;
  private final long stream;
  private final Memory word = OffHeap.allocate(Long.BYTES);
  private final long begin;
  private final long end;

  /**
   * Makes a timer.
   *
   * @param stream of a GPU, which outlives the timer
   */
  public DeviceTimer(Stream stream) {
    this.device = stream.device().index();
    this.stream = stream.handle();
    this.begin = event();
    this.end = event();
  }

  private long event() {
    require(MeasuringNative.timerCreate(device, word.address()), "making a timing event");
    return OffHeap.getLong(word.address());
  }

  /** The time starts when the work given to the stream so far has finished. */
  public void begin() {
    require(Ep4jNative.eventRecord(device, begin, stream), "starting the time");
  }

  /** The time ends when the work given to the stream so far has finished. */
  public void end() {
    require(Ep4jNative.eventRecord(device, end, stream), "ending the time");
  }

  /**
   * The time, once the stream has passed both points.
   *
   * @return nanoseconds, in steps of about half a microsecond
   * @throws IllegalStateException if the stream has not passed the end yet
   */
  public long nanos() {
    int status = MeasuringNative.timerElapsed(device, begin, end, word.address());
    if (status == Abi.PENDING) {
      throw new IllegalStateException("the stream has not passed the end of the time yet");
    }
    require(status, "reading the time");
    return OffHeap.getLong(word.address());
  }

  private static void require(int status, String operation) {
    Natives.require(status, -1, operation);
  }

  @Override
  public void close() {
    require(Ep4jNative.eventDestroy(device, begin), "ending a timing event");
    require(Ep4jNative.eventDestroy(device, end), "ending a timing event");
    word.close();
  }
}
