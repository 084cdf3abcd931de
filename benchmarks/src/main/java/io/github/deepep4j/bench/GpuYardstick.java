package io.github.deepep4j.bench;

import io.github.deepep4j.internal.cuda.DeviceTimer;
import io.github.deepep4j.internal.cuda.RowCopy;
import io.github.deepep4j.internal.cuda.StreamGate;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/**
 * The GPU's: rows gathered by as many multiprocessors as the device's ranks have together. And the
 * operation's GPU time, by events on each rank's stream: all streams are held at a gate until every
 * rank has issued, so that they begin at one moment and the host's part doesn't count; the slowest
 * rank counts. An operation whose issuing waits for other ranks can't be held: its GPU time
 * contains the host's part.
 */
final class GpuYardstick implements Yardstick {
  /** Time of an iteration that each of the two measurements gets on top. */
  private static final long NANOS = TimeUnit.MILLISECONDS.toNanos(100);

  private static final int MIN_ROUNDS = 20;
  private static final Duration LONGEST_HOLD = Duration.ofSeconds(10);

  private final RankTeam team;
  private final RankWork[] works;
  private final boolean held;
  private final int devices;
  private final int sms;
  private final StreamGate gate;
  private final DeviceTimer[] timers;
  private final RowCopy[] copies;

  GpuYardstick(RankTeam team, RankWork[] works, Traffic traffic, boolean waitsOnHost) {
    this.team = team;
    this.works = works;
    this.held = !waitsOnHost;
    Workload load = works[0].load;
    this.devices = load.place().devices();
    this.sms = load.sms() * load.ranksPerDevice();
    this.gate = new StreamGate(0);
    this.timers = new DeviceTimer[team.size()];
    this.copies = new RowCopy[devices];
    int rowBytes = load.dtype() == Workload.Wire.BF16 ? 2 * load.hidden() : load.hidden();
    int rows = (int) Math.max(1, traffic.moved() * load.ranksPerDevice() / rowBytes);
    team.run(
        rank -> {
          timers[rank] = new DeviceTimer(works[rank].stream());
          if (rank < devices) {
            copies[rank] = new RowCopy(works[rank].stream(), rows, rowBytes);
          }
        });
    copyOnce(); // loads the kernel
  }

  @Override
  public void measure(Meter meter) {
    long end = System.nanoTime() + NANOS;
    for (int i = 0; i < MIN_ROUNDS || System.nanoTime() < end; i++) {
      meter.gpu.add(operateOnce(rank -> works[rank].issue()));
      if (works[0].hasReference()) {
        // By turns, so that a GPU that changes its clock does so for all three.
        meter.references.add(operateOnce(rank -> works[rank].issueReference()));
        meter.computes.add(computeOnce());
      }
    }
    end = System.nanoTime() + NANOS;
    for (int i = 0; sms > 0 && (i < MIN_ROUNDS || System.nanoTime() < end); i++) {
      meter.copies.add(copyOnce());
    }
  }

  private long computeOnce() {
    timed(true, works.length, rank -> works[rank].compute());
    team.run(rank -> awaitStream(rank));
    return slowest(works.length);
  }

  private long operateOnce(RankTeam.Action issue) {
    team.run(rank -> works[rank].prepare());
    timed(held, works.length, issue);
    team.run(
        rank -> {
          works[rank].finish();
          awaitStream(rank); // what was given to it after the operation, the time's end among it
        });
    return slowest(works.length);
  }

  private long copyOnce() {
    timed(true, devices, rank -> copies[rank].run(Math.max(1, sms)));
    team.run(rank -> awaitStream(rank));
    return slowest(devices);
  }

  /** Issues something on the first ranks' streams, between two events. */
  private void timed(boolean hold, int count, RankTeam.Action issue) {
    gate.shut();
    try {
      team.run(
          rank -> {
            if (rank < count) {
              if (hold) {
                gate.hold(works[rank].stream(), LONGEST_HOLD);
              }
              timers[rank].begin();
              issue.run(rank);
              timers[rank].end();
            }
          });
    } finally {
      gate.open();
    }
  }

  private void awaitStream(int rank) {
    io.github.deepep4j.DeviceMemory.synchronize(works[rank].stream());
  }

  private long slowest(int count) {
    long slowest = 0;
    for (int rank = 0; rank < count; rank++) {
      slowest = Math.max(slowest, timers[rank].nanos());
    }
    return slowest;
  }

  @Override
  public void close() {
    team.run(
        rank -> {
          timers[rank].close();
          if (rank < devices) {
            copies[rank].close();
          }
        });
    gate.close();
  }
}
