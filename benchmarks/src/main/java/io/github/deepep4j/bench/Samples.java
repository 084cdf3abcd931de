package io.github.deepep4j.bench;

import java.util.Arrays;

/** Times of one iteration's rounds. */
final class Samples {
  private long[] nanos = new long[1 << 14];
  private int count;

  void clear() {
    count = 0;
  }

  void add(long value) {
    if (count == nanos.length) {
      nanos = Arrays.copyOf(nanos, 2 * count);
    }
    nanos[count++] = value;
  }

  int count() {
    return count;
  }

  /**
   * A percentile by the nearest rank, in nanoseconds.
   *
   * @param percent more than 0, up to 100
   */
  double percentile(double percent) {
    long[] sorted = Arrays.copyOf(nanos, count);
    Arrays.sort(sorted);
    int rank = (int) Math.ceil(percent / 100 * count);
    return sorted[Math.max(0, rank - 1)];
  }

  /** The shortest time, in nanoseconds. */
  double fastest() {
    long least = Long.MAX_VALUE;
    for (int i = 0; i < count; i++) {
      least = Math.min(least, nanos[i]);
    }
    return least;
  }
}
