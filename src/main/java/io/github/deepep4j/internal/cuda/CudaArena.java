package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.internal.memory.FreeRanges;
import org.jspecify.annotations.Nullable;

/**
 * Which bytes of a buffer's arena are free. The host alone decides, at the moment of a call, from
 * the calls that this rank has made so far: a place is free as soon as its result is closed or its
 * combine received here. The device keeps the order: a call's kernels come after the last readers
 * on this rank, because the calls of a buffer are one sequence, and nothing is written before every
 * peer has read what was published. So whether something fits, and where, never depends on who is
 * fast.
 *
 * <p>What has a known size takes the first range that holds it. An exact dispatch does not know its
 * rows: it takes the largest range, and gives back what it did not need as soon as the counts are
 * on the host, before anybody can ask for memory again.
 */
final class CudaArena {
  /** The native library's line. */
  static final long LINE = 128;

  private final FreeRanges free;

  /**
   * A place in the arena.
   *
   * @param offset from the arena's beginning
   * @param bytes that it may be written with
   */
  record Place(long offset, long bytes) {}

  CudaArena(long bytes) {
    free = new FreeRanges(0, (bytes + LINE - 1) / LINE * LINE, LINE);
  }

  /** Takes the first place that is large enough; null if there is none. */
  @Nullable Place take(long bytes) {
    long offset = free.take(bytes);
    return offset < 0 ? null : new Place(offset, free.rounded(bytes));
  }

  /** Takes the largest place, which may have no bytes at all. */
  Place takeLargest() {
    FreeRanges.Range range = free.takeLargest();
    return new Place(range.offset(), range.bytes());
  }

  /** Keeps the beginning of a place and gives the rest back. */
  Place shrink(Place place, long bytes) {
    long kept = free.rounded(bytes);
    if (kept < place.bytes()) {
      free.give(place.offset() + kept, place.bytes() - kept);
    }
    return new Place(place.offset(), Math.min(kept, place.bytes()));
  }

  /** Gives a place back. */
  void give(Place place) {
    if (place.bytes() > 0) {
      free.give(place.offset(), place.bytes());
    }
  }

  /** Bytes of the largest place. */
  long largest() {
    return free.largest();
  }
}
