package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.memory.FreeRanges;

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

  /** First fit. */
  final class Arena implements Extents {
    private final FreeRanges free;

    Arena(long base, long bytes) {
      free = new FreeRanges(base, bytes, ControlLayout.lines(1));
    }

    @Override
    public long take(long bytes) {
      return free.take(bytes);
    }

    @Override
    public void give(long offset, long bytes) {
      free.give(offset, bytes);
    }

    @Override
    public long largest() {
      return free.largest();
    }
  }
}
