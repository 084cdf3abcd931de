package io.github.deepep4j.internal.backend;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import java.util.BitSet;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;

/** A join that is read while its writer already says the next one. */
final class JoinRecordTest {
  private static final int RANKS = 64;
  private static final int JOINS = 200_000;

  @Test
  void shouldNeverMixTwoJoins_whenReadWhileWritten() {
    try (Memory memory = OffHeap.allocate(JoinRecord.bytes(RANKS))) {
      long record = memory.address();
      OffHeap.fill(record, JoinRecord.bytes(RANKS), (byte) 0);
      CompletableFuture<Void> writer = CompletableFuture.runAsync(() -> write(record));
      int seen = 0;
      while (!writer.isDone() || seen == 0) {
        Unmask.Join join = JoinRecord.read(record, RANKS);
        if (join != null && join.tag() > 0) {
          seen++;
          assertThat(join).isEqualTo(join(join.tag() / 2, join.tag() % 2));
        }
      }
      writer.join();
    }
  }

  private static void write(long record) {
    for (long attempt = 1; attempt <= JOINS; attempt++) {
      JoinRecord.publish(record, join(attempt, 0), RANKS);
      OffHeap.putLongRelease(record, 2 * attempt + 1); // the second step
    }
  }

  /** All that a join says follows from its attempt. */
  private static Unmask.Join join(long attempt, long step) {
    BitSet masks = BitSet.valueOf(new long[] {attempt});
    return new Unmask.Join(
        2 * attempt + step,
        (int) (attempt % RANKS),
        new Unmask.Position(attempt, attempt, attempt),
        masks);
  }
}
