package io.github.deepep4j;

import io.github.deepep4j.fixtures.BufferRanks;
import io.github.deepep4j.fixtures.CountedRows;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Results, handles, buffers: who may use what until when. */
final class BufferLifecycleTest {
  private static final CountedRows ROWS = new CountedRows(3, 6, 64);
  private static final Set<Integer> ALL = Set.of(0, 1, 2);

  @Test
  void shouldSendAndSum_whenAllModes() {
    BufferRanks.run(
        3,
        BufferOptions.of(6, 64, 8).maxTopk(2).lowLatency(),
        my -> {
          for (int round = 0; round < 5; round++) {
            try (var result =
                    my.buffer.dispatch(
                        ROWS.x(my.rank), ROWS.topkIdx(my.rank), ROWS.topkWeights(my.rank));
                var handle = result.handle()) {
              ROWS.assertReceived(result, my.rank, ALL, Set.of());
              try (var sums = my.buffer.combine(CountedRows.copyOfRows(result.x()), handle)) {
                ROWS.assertCombined(sums.combined(), my.rank, ALL);
              }
            }
            try (var result =
                my.buffer.lowLatencyDispatch(ROWS.x(my.rank), ROWS.topkIdx(my.rank))) {
              ROWS.assertReceived(result, my.rank, ALL);
              try (var sums =
                  my.buffer.lowLatencyCombine(
                      CountedRows.copyOfRows(result.x()),
                      ROWS.topkWeights(my.rank),
                      result.handle())) {
                ROWS.assertLowLatencyCombined(sums.combined(), my.rank, ALL);
              }
            }
          }
        });
  }
}
