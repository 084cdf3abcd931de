package io.github.deepep4j.gpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.Statistics;
import io.github.deepep4j.TimeoutPolicy;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.fixtures.BufferRanks;
import io.github.deepep4j.fixtures.CountedRows;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.tensor.Tensor;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * A call that fails on the device after it has returned: whoever asks its result for data, or its
 * event, is told, and nobody takes what it left for rows. And what the device counts.
 */
@Tag("gpu")
final class CudaResultFaultTest {
  private static final CountedRows ROWS = new CountedRows(2, 4, 128);
  private static final BufferOptions OPTIONS =
      BufferOptions.of(4, 128, 8).maxTopk(2).timeout(Duration.ofSeconds(2));

  private static DispatchResult bounded(BufferRanks.Rank my) {
    return my.buffer.dispatch(
        ROWS.x(my.rank),
        ROWS.topkIdx(my.rank),
        ROWS.topkWeights(my.rank),
        DispatchOptions.defaults().maxReceivedTokens(16).hook());
  }

  private static void assertSilent(Throwable thrown) {
    assertThat(thrown).isInstanceOf(EpTimeoutException.class);
    assertThat(((EpTimeoutException) thrown).culprit()).isEqualTo(1);
  }

  @Test
  void shouldThrowWhereDataIsAskedFor_whenABoundedHookTimesOutOnTheDevice() {
    BufferRanks.run(
        2,
        OPTIONS,
        my -> {
          if (my.rank == 1) {
            my.awaitOthers(1);
            return;
          }
          DispatchResult result = bounded(my);
          result.receive();
          Tensor early = result.x();
          assertThat(early.shape()).containsExactly(16, 128);
          assertSilent(catchThrowable(() -> result.event().synchronize()));
          assertSilent(catchThrowable(() -> result.event().isComplete()));
          assertSilent(catchThrowable(result::x));
          assertSilent(catchThrowable(result::numReceivedTensor));
          assertSilent(catchThrowable(early::address));
          assertSilent(catchThrowable(my.buffer::check));
          assertSilent(catchThrowable(() -> bounded(my)));
        });
  }

  @Test
  void shouldKeepWhatCameBefore_whenALaterCallFails() {
    BufferRanks.run(
        2,
        OPTIONS.normalRegions(3),
        my -> {
          var whole = my.buffer.dispatch(ROWS.x(my.rank), ROWS.topkIdx(my.rank), null);
          int rows = whole.numReceived();
          whole.event().synchronize();
          DispatchResult open = bounded(my);
          if (my.rank == 1) {
            open.receive();
            open.event().synchronize();
            my.awaitOthers(1);
            return;
          }
          var late =
              my.buffer.dispatch(
                  ROWS.x(my.rank), whole.handle(), DispatchOptions.defaults().hook());
          late.receive();
          assertSilent(catchThrowable(() -> late.event().synchronize()));
          assertThat(TestDevice.read(whole.x(), Tensor::toShorts)).hasSize(rows * 128);
          ROWS.assertRows(whole.x(), ROWS.expected(0, Set.of(0, 1)), Set.of());
          assertSilent(catchThrowable(late::x));
          // Its rows have come, but nobody has seen to it before the buffer failed.
          open.receive();
          TestDevice.finish();
          assertSilent(catchThrowable(open::x));
        });
  }

  @Test
  void shouldThrowOnBothRanks_whenCombineMeetsDispatch() {
    BufferRanks.run(
        2,
        OPTIONS,
        my -> {
          var rows = my.buffer.dispatch(ROWS.x(my.rank), ROWS.topkIdx(my.rank), null);
          Tensor y = CountedRows.copyOfRows(rows.x());
          rows.close();
          Throwable thrown =
              catchThrowable(
                  () -> {
                    if (my.rank == 0) {
                      my.buffer.combine(y, rows.handle()).event().synchronize();
                    } else {
                      my.buffer.dispatch(ROWS.x(1), ROWS.topkIdx(1), null);
                    }
                  });
          assertThat(thrown).isInstanceOf(EpException.class);
          assertThat(((EpException) thrown).code()).isEqualTo(EpException.Code.MISMATCH);
          assertThat(thrown)
              .hasMessageContaining("dispatch(rank-major")
              .hasMessageContaining("combine(rank-major")
              .hasMessageContaining("call 2 is");
        });
  }

  @Test
  void shouldEndWaitsAtOnce_whenAPeerCloses() {
    CountDownLatch made = new CountDownLatch(2);
    BufferRanks.run(
        2,
        OPTIONS.timeout(Duration.ofSeconds(30)),
        my -> {
          made.countDown();
          made.await();
          if (my.rank == 1) {
            my.buffer.close();
            return;
          }
          long started = System.nanoTime();
          assertThatThrownBy(() -> my.buffer.dispatch(ROWS.x(0), ROWS.topkIdx(0), null))
              .isInstanceOfSatisfying(
                  EpException.class,
                  error -> assertThat(error.code()).isEqualTo(EpException.Code.ABORTED))
              .hasMessageContaining("rank 1");
          assertThat(Duration.ofNanos(System.nanoTime() - started))
              .isLessThan(Duration.ofSeconds(15));
        });
  }

  @Test
  void shouldCountRowsAndBytesPerPeer_whenNormalMode() {
    BufferRanks.run(
        2,
        OPTIONS.onTimeout(TimeoutPolicy.MASK).timeout(Duration.ofSeconds(20)),
        my -> {
          Buffer buffer = my.buffer;
          Tensor x = ROWS.x(my.rank);
          var rows = buffer.dispatch(x, ROWS.topkIdx(my.rank), ROWS.topkWeights(my.rank));
          var cast =
              buffer.dispatch(
                  x, rows.handle(), DispatchOptions.defaults().quantize(Quantization.PLAIN));
          var sums = buffer.combine(CountedRows.copyOfRows(rows.x()), rows.handle());
          sums.event().synchronize();
          Statistics statistics = buffer.statistics();
          for (int peer = 0; peer < 2; peer++) {
            Statistics.Peer normal = statistics.normal().get(peer);
            long out = ROWS.expected(peer, Set.of(my.rank)).size();
            long in = ROWS.expected(my.rank, Set.of(peer)).size();
            assertThat(normal.rowsSent()).isEqualTo(2 * out);
            assertThat(normal.bytesSent()).isEqualTo(out * (256 + 132));
            assertThat(normal.rowsReceived()).isEqualTo(2 * in);
            assertThat(normal.rowsCombined()).isEqualTo(out);
          }
          assertThat(statistics.openResults()).isEqualTo(3);
          assertThat(statistics.quarantinedRegions()).isZero();
          rows.close();
          cast.close();
          sums.close();
        });
  }
}
