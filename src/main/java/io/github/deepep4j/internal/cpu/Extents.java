package io.github.deepep4j.internal.cpu;

import java.util.TreeMap;

/** Memory of regions inside this rank's window: fixed places of one size, or an arena. */
interface Extents {
  /** Takes bytes; −1 if there is no room. Offsets are from the window's start. */
  long take(long bytes);

  /** Gives a taken extent back. */
  void give(long offset, long bytes);

  /** Bytes of the largest extent that {@link #take} could return now. */
  long largest();

  /** Places of one size; what is taken is always a whole place. */
  final class Fixed implements Extents {
    private final long base;
    private final long placeBytes;
    private final boolean[] taken;

    Fixed(long base, long placeBytes, int places) {
      this.base = base;
      this.placeBytes = placeBytes;
      this.taken = new boolean[places];
    }

    @Override
    public long take(long bytes) {
      if (bytes > placeBytes) {
        return -1;
      }
      for (int i = 0; i < taken.length; i++) {
        if (!taken[i]) {
          taken[i] = true;
          return base + i * placeBytes;
        }
      }
      return -1;
    }

    @Override
    public void give(long offset, long bytes) {
      taken[(int) ((offset - base) / placeBytes)] = false;
    }

    @Override
    public long largest() {
      for (boolean place : taken) {
        if (!place) {
          return placeBytes;
        }
      }
      return 0;
    }
  }

  /** First fit over a list of free ranges, which are merged when they meet. */
  final class Arena implements Extents {
    private final TreeMap<Long, Long> free = new TreeMap<>();

    Arena(long base, long bytes) {
      free.put(base, bytes);
    }

    @Override
    public long take(long bytes) {
      long wanted = ControlLayout.lines(Math.max(1, bytes));
      long offset = -1;
      long size = 0;
      for (var range : free.entrySet()) {
        if (range.getValue() >= wanted) {
          offset = range.getKey();
          size = range.getValue();
          break;
        }
      }
      if (offset >= 0) {
        free.remove(offset);
        if (size > wanted) {
          free.put(offset + wanted, size - wanted);
        }
      }
      return offset;
    }

    @Override
    public void give(long offset, long bytes) {
      long start = offset;
      long size = ControlLayout.lines(Math.max(1, bytes));
      var before = free.floorEntry(start);
      if (before != null && before.getKey() + before.getValue() == start) {
        start = before.getKey();
        size += before.getValue();
      }
      Long after = free.remove(offset + ControlLayout.lines(Math.max(1, bytes)));
      free.put(start, size + (after == null ? 0 : after));
    }

    @Override
    public long largest() {
      long largest = 0;
      for (long size : free.values()) {
        largest = Math.max(largest, size);
      }
      return largest;
    }
  }
}
