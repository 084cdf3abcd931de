package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.BufferRanks;
import io.github.deepep4j.fixtures.CountedRows;
import io.github.deepep4j.tensor.Tensor;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** What a buffer counts: rows, bytes and waits per peer, and what is open. */
final class StatisticsTest {
  private static final CountedRows ROWS = new CountedRows(3, 6, 128);
  private static final BufferOptions OPTIONS = BufferOptions.of(6, 128, 8).maxTopk(2).lowLatency();

  private static long rowsBetween(int source, int destination) {
    return ROWS.expected(destination, Set.of(source)).size();
  }

  private static long choicesBetween(int source, int destination) {
    long choices = 0;
    for (int i = 0; i < ROWS.tokens(source) * CountedRows.TOPK; i++) {
      int expert = ROWS.expert(source, i / CountedRows.TOPK, i % CountedRows.TOPK);
      choices += expert >= 0 && ROWS.rankOf(expert) == destination ? 1 : 0;
    }
    return choices;
  }

  @Test
  void shouldCountRowsAndBytesPerPeer_whenBothModes() {
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          my.buffer.warmUp();
          my.buffer.check();
          Tensor x = ROWS.x(my.rank);
          Tensor weights = ROWS.topkWeights(my.rank);
          var result = my.buffer.dispatch(x, ROWS.topkIdx(my.rank), weights);
          var cast =
              my.buffer.dispatch(
                  x, result.handle(), DispatchOptions.defaults().quantize(Quantization.PLAIN));
          my.buffer.combine(CountedRows.copyOfRows(result.x()), result.handle()).close();
          var lowLatency = my.buffer.lowLatencyDispatch(x, ROWS.topkIdx(my.rank));
          my.buffer
              .lowLatencyCombine(
                  CountedRows.copyOfRows(lowLatency.x()), weights, lowLatency.handle())
              .close();
          Statistics statistics = my.buffer.statistics();
          for (int peer = 0; peer < 3; peer++) {
            Statistics.Peer normal = statistics.normal().get(peer);
            long out = rowsBetween(my.rank, peer);
            assertThat(normal.rowsSent()).isEqualTo(2 * out);
            assertThat(normal.bytesSent())
                .as("BF16, then FP8 and one scale")
                .isEqualTo(out * (256 + 132));
            assertThat(normal.rowsReceived()).isEqualTo(2 * rowsBetween(peer, my.rank));
            assertThat(normal.rowsCombined()).isEqualTo(out);
            Statistics.Peer fast = statistics.lowLatency().get(peer);
            long choices = choicesBetween(my.rank, peer);
            assertThat(fast.rowsSent()).isEqualTo(choices);
            assertThat(fast.bytesSent()).isEqualTo(choices * 256);
            assertThat(fast.rowsReceived()).isEqualTo(choicesBetween(peer, my.rank));
            assertThat(fast.rowsCombined()).isEqualTo(choices);
          }
          assertThat(statistics.openResults()).isEqualTo(3);
          assertThat(statistics.openHandles()).isEqualTo(1);
          assertThat(statistics.abandonedBytes()).isZero();
          result.close();
          cast.close();
          lowLatency.close();
          result.handle().close();
          assertThat(my.buffer.statistics().openResults()).isZero();
          assertThat(my.buffer.statistics().openHandles()).isZero();
          my.buffer.warmUp();
        });
  }

  @Test
  void shouldChargeWaitsToTheLateRankAndMode_whenReceivingByHook() {
    BufferRanks.run(
        2,
        BufferOptions.of(6, 128, 8).maxTopk(2).lowLatency(),
        my -> {
          CountedRows rows = new CountedRows(2, 6, 128);
          Tensor x = rows.x(my.rank);
          Tensor idx = rows.topkIdx(my.rank);
          my.buffer.dispatch(x, idx, null).close();
          long before = my.buffer.statistics().normal().get(1).waitNanos();
          if (my.rank == 1) {
            my.awaitWaiting(0);
            Thread.sleep(100);
          }
          var pending =
              my.buffer.lowLatencyDispatch(x, idx, LowLatencyDispatchOptions.defaults().hook());
          pending.receive();
          pending.close();
          if (my.rank == 0) {
            Statistics statistics = my.buffer.statistics();
            assertThat(statistics.lowLatency().get(1).waitNanos())
                .isGreaterThan(TimeUnit.MILLISECONDS.toNanos(50));
            assertThat(statistics.lowLatency().get(0).waitNanos()).isZero();
            assertThat(statistics.normal().get(1).waitNanos()).isEqualTo(before);
          }
        });
  }
}
