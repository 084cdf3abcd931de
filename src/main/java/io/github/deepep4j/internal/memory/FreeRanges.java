package io.github.deepep4j.internal.memory;

import java.util.Map;
import java.util.TreeMap;

/**
 * What is free of one stretch of memory: ranges of whole grains, merged where they meet. Only
 * numbers, no memory. Thread-safe.
 */
public final class FreeRanges {
  /** Length of each free range by its beginning. */
  private final TreeMap<Long, Long> free = new TreeMap<>();

  private final long grain;

  /**
   * A range.
   *
   * @param offset where it begins
   * @param bytes its length
   */
  public record Range(long offset, long bytes) {}

  /**
   * Everything is free.
   *
   * @param base where the stretch begins, a multiple of the grain
   * @param bytes its length
   * @param grain every range begins and ends at a multiple of it
   */
  public FreeRanges(long base, long bytes, long grain) {
    this.grain = grain;
    free.put(base, bytes);
  }

  /**
   * Bytes that a range takes.
   *
   * @param bytes wanted
   * @return at least one grain
   */
  public long rounded(long bytes) {
    return (Math.max(1, bytes) + grain - 1) / grain * grain;
  }

  /**
   * Takes the first range that is large enough.
   *
   * @param bytes wanted
   * @return where it begins; −1 if there is none
   */
  public synchronized long take(long bytes) {
    long wanted = rounded(bytes);
    Range range = findFirst(wanted);
    if (range.bytes() == 0) {
      return -1;
    }
    free.remove(range.offset());
    if (range.bytes() > wanted) {
      free.put(range.offset() + wanted, range.bytes() - wanted);
    }
    return range.offset();
  }

  private Range findFirst(long bytes) {
    for (Map.Entry<Long, Long> range : free.entrySet()) {
      if (range.getValue() >= bytes) {
        return new Range(range.getKey(), range.getValue());
      }
    }
    return new Range(0, 0);
  }

  /**
   * Takes the largest range, the first of several.
   *
   * @return the range; of no bytes if nothing is free
   */
  public synchronized Range takeLargest() {
    Range range = findLargest();
    free.remove(range.offset());
    return range;
  }

  /**
   * Bytes of the largest range.
   *
   * @return 0 if nothing is free
   */
  public synchronized long largest() {
    return findLargest().bytes();
  }

  private Range findLargest() {
    Range largest = new Range(0, 0);
    for (Map.Entry<Long, Long> range : free.entrySet()) {
      if (range.getValue() > largest.bytes()) {
        largest = new Range(range.getKey(), range.getValue());
      }
    }
    return largest;
  }

  /**
   * Gives a taken range back.
   *
   * @param offset where it begins
   * @param bytes as wanted when it was taken
   */
  public synchronized void give(long offset, long bytes) {
    long start = offset;
    long size = rounded(bytes);
    Map.Entry<Long, Long> before = free.floorEntry(start);
    if (before != null && before.getKey() + before.getValue() == start) {
      start = before.getKey();
      size += before.getValue();
    }
    Long after = free.remove(offset + rounded(bytes));
    free.put(start, size + (after == null ? 0 : after));
  }
}
