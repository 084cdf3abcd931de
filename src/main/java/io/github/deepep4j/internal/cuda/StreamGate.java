package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.cuda.binding.MeasuringNative;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import java.time.Duration;

/**
 * Lets work of several streams begin at one moment, for benchmarks: what is given to a held stream
 * waits, and so how long the host took to give it does not count. Any thread may use it.
 */
public final class StreamGate implements AutoCloseable {
  private final long gate;

  /**
   * Makes a gate, shut.
   *
   * @param device a GPU; streams of others can be held, too
   */
  public StreamGate(int device) {
    try (Memory out = OffHeap.allocate(Long.BYTES)) {
      require(MeasuringNative.gateCreate(device, out.address()), "making a gate");
      gate = OffHeap.getLong(out.address());
    }
  }

  /**
   * Holds a stream.
   *
   * @param stream of a GPU
   * @param most after which it goes on though nobody has opened the gate
   */
  public void hold(Stream stream, Duration most) {
    require(
        MeasuringNative.gateHold(gate, stream.device().index(), most.toNanos(), stream.handle()),
        "holding a stream");
  }

  /** Lets all held streams go on, and those that are held from now on at once. */
  public void open() {
    require(MeasuringNative.gateSet(gate, 1), "opening a gate");
  }

  /** Holds streams again; only after those that were held have gone on. */
  public void shut() {
    require(MeasuringNative.gateSet(gate, 0), "shutting a gate");
  }

  private static void require(int status, String operation) {
    Natives.require(status, -1, operation);
  }

  @Override
  public void close() {
    require(MeasuringNative.gateDestroy(gate), "ending a gate");
  }
}
