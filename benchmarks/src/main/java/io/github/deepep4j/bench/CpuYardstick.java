package io.github.deepep4j.bench;

import java.util.concurrent.TimeUnit;

/** The CPU's: each rank's thread copies as many bytes as an operation moves for it. */
final class CpuYardstick implements Yardstick {
  /** Part of an iteration's length that the copy gets on top. */
  private static final long COPY_NANOS = TimeUnit.MILLISECONDS.toNanos(120);

  private static final int MIN_COPIES = 5;

  private final RankTeam team;
  private final RankTeam.Action copy;

  CpuYardstick(RankTeam team, Traffic traffic) {
    this.team = team;
    PlainCopy[] copies = new PlainCopy[team.size()];
    team.run(rank -> copies[rank] = new PlainCopy((long) traffic.moved()));
    this.copy = rank -> copies[rank].run();
  }

  @Override
  public void measure(Meter meter) {
    long end = System.nanoTime() + COPY_NANOS;
    for (int i = 0; i < MIN_COPIES || System.nanoTime() < end; i++) {
      meter.copies.add(team.run(copy));
    }
  }

  @Override
  public void close() {
    // Direct buffers have no end of their own.
  }
}
