package io.github.deepep4j.internal.backend;

import io.github.deepep4j.internal.memory.OffHeap;
import java.lang.invoke.VarHandle;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/**
 * What a rank says in an unmask, as it lies in memory that its reader owns: one writer, one reader.
 *
 * <pre>
 *   0   tag, stored last with release; one more in the second step
 *   8   the returning rank
 *   16  position: epoch, dispatches, low-latency dispatches
 *   40  tag of the join that is being written, stored first
 *   64  whom the writer has masked, a byte per rank
 * </pre>
 */
public final class JoinRecord {
  private static final int BEGUN = 40;
  private static final int MASKS = 64;

  private JoinRecord() {}

  /**
   * Bytes of a record.
   *
   * @param numRanks n
   * @return a multiple of 64
   */
  public static long bytes(int numRanks) {
    return MASKS + (numRanks + 63L) / 64 * 64;
  }

  static void publish(long record, Unmask.Join join, int numRanks) {
    // A reader that still sees an earlier tag must not take these words for that join's.
    OffHeap.putLong(record + BEGUN, join.tag());
    VarHandle.releaseFence();
    OffHeap.putLong(record + 8, join.returning());
    OffHeap.putLong(record + 16, join.position().epoch());
    OffHeap.putLong(record + 24, join.position().dispatches());
    OffHeap.putLong(record + 32, join.position().lowLatencyDispatches());
    for (int other = 0; other < numRanks; other++) {
      OffHeap.putByte(record + MASKS + other, (byte) (join.masks().get(other) ? 1 : 0));
    }
    OffHeap.putLongRelease(record, join.tag());
  }

  static long tag(long record) {
    return OffHeap.getLongAcquire(record);
  }

  /** What a peer says; null if it is changing its mind. */
  static Unmask.@Nullable Join read(long record, int numRanks) {
    long tag = tag(record);
    BitSet masks = new BitSet();
    for (int other = 0; other < numRanks; other++) {
      masks.set(other, OffHeap.getByte(record + MASKS + other) != 0);
    }
    var join =
        new Unmask.Join(
            tag,
            (int) OffHeap.getLong(record + 8),
            new Unmask.Position(
                OffHeap.getLong(record + 16),
                OffHeap.getLong(record + 24),
                OffHeap.getLong(record + 32)),
            masks);
    VarHandle.acquireFence();
    return OffHeap.getLong(record + BEGUN) == (tag & ~1L) && tag(record) == tag ? join : null;
  }
}
