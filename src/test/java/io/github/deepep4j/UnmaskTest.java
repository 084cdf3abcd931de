package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import io.github.deepep4j.error.EpMaskedException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.fixtures.AllModes;
import io.github.deepep4j.fixtures.BufferRanks;
import io.github.deepep4j.fixtures.CountedRows;
import io.github.deepep4j.fixtures.Stall;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Masked ranks that come back: all modes work again, and an attempt that fails changes nothing. */
final class UnmaskTest {
  private static final CountedRows ROWS = new CountedRows(3, 6, 64);
  private static final Set<Integer> ALL = Set.of(0, 1, 2);

  private static final BufferOptions OPTIONS =
      AllModes.options(BufferOptions.of(6, 64, 8).maxTopk(2));

  private static void round(BufferRanks.Rank my, Set<Integer> present) {
    AllModes.round(ROWS, my.buffer, my.rank, present);
  }

  @Test
  void shouldWorkInAllModes_whenEachRankIsMaskedAndComesBackInTurn() throws Exception {
    CyclicBarrier barrier = new CyclicBarrier(3);
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          round(my, ALL);
          for (int turn = 0; turn < 6; turn++) {
            int away = turn % 3;
            Set<Integer> rest = Set.of((away + 1) % 3, (away + 2) % 3);
            barrier.await();
            if (my.rank != away) {
              my.buffer.mask(away);
              // Different numbers of calls of each kind, so that the returning rank is behind.
              for (int i = 0; i <= turn; i++) {
                round(my, rest);
              }
            } else if (turn % 2 == 0) {
              barrier.await();
              assertThat(catchThrowable(my.buffer::check)).isInstanceOf(EpMaskedException.class);
            }
            if (my.rank != away && turn % 2 == 0) {
              barrier.await();
            }
            my.buffer.unmask(away);
            assertThat(my.buffer.maskedRanks()).isEmpty();
            round(my, ALL);
            round(my, ALL);
          }
          assertThat(my.buffer.statistics().quarantinedRegions()).isZero();
          assertThat(my.buffer.statistics().openResults()).isZero();
        });
  }

  @Tag("cpu")
  @Test
  void shouldGoOnFromTheFurthest_whenTheReturningRankIsAhead() {
    CountDownLatch ahead = new CountDownLatch(1);
    CountDownLatch masked = new CountDownLatch(2);
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          round(my, ALL);
          if (my.rank == 2) {
            // It has sent a low-latency and entered a normal dispatch that the others never call.
            var result =
                my.buffer.lowLatencyDispatch(
                    ROWS.x(2), ROWS.topkIdx(2), LowLatencyDispatchOptions.defaults().hook());
            ahead.countDown();
            masked.await();
            assertThat(catchThrowable(result::receive)).isInstanceOf(EpMaskedException.class);
            result.close();
          } else {
            ahead.await();
            my.buffer.mask(2);
            masked.countDown();
          }
          my.buffer.unmask(2);
          round(my, ALL);
          round(my, ALL);
        });
  }

  @Test
  void shouldChangeNothing_whenTheReturningRankDoesNotCome() {
    CyclicBarrier barrier = new CyclicBarrier(3);
    BufferRanks.run(
        3,
        OPTIONS.timeout(Duration.ofMillis(1_200)),
        my -> {
          round(my, ALL);
          barrier.await();
          Set<Integer> rest = Set.of(0, 1);
          if (my.rank == 2) {
            barrier.await();
            // Nor do the others come when this rank tries alone.
            Throwable alone = catchThrowable(() -> my.buffer.unmask(2));
            assertThat(alone).isInstanceOf(EpTimeoutException.class);
            assertThat(((EpTimeoutException) alone).culprit()).isIn(0, 1);
            barrier.await();
          } else {
            my.buffer.mask(2);
            round(my, rest);
            Throwable thrown = catchThrowable(() -> my.buffer.unmask(2));
            assertThat(thrown)
                .isInstanceOf(EpTimeoutException.class)
                .hasMessageContaining("rank 2 did not answer rank");
            assertThat(((EpTimeoutException) thrown).culprit()).isEqualTo(2);
            assertThat(((EpTimeoutException) thrown).stage()).isEqualTo("unmask");
            assertThat(my.buffer.maskedRanks()).containsExactly(2);
            round(my, rest);
            barrier.await();
            barrier.await();
            round(my, rest);
          }
          my.buffer.unmask(2);
          round(my, ALL);
        });
  }

  @Test
  void shouldComeBackOneByOne_whenTwoRanksAreMasked() {
    CountedRows rows = new CountedRows(4, 8, 64);
    CyclicBarrier barrier = new CyclicBarrier(4);
    BufferRanks.run(
        4,
        AllModes.options(BufferOptions.of(8, 64, 8).maxTopk(2)),
        my -> {
          AllModes.round(rows, my.buffer, my.rank, Set.of(0, 1, 2, 3));
          barrier.await();
          if (my.rank < 2) {
            my.buffer.mask(2);
            my.buffer.mask(3);
            AllModes.round(rows, my.buffer, my.rank, Set.of(0, 1));
          }
          if (my.rank != 3) {
            // Rank 2 does not know that rank 3 is masked, too; the others tell it.
            my.buffer.unmask(2);
            assertThat(my.buffer.maskedRanks()).containsExactly(3);
            AllModes.round(rows, my.buffer, my.rank, Set.of(0, 1, 2));
          }
          my.buffer.unmask(3);
          assertThat(my.buffer.maskedRanks()).isEmpty();
          AllModes.round(rows, my.buffer, my.rank, Set.of(0, 1, 2, 3));
        });
  }

  @Tag("cpu")
  @Test
  void shouldReuseItsRegions_whenALateWriterHasComeBack() {
    Stall stall = new Stall(ROWS.x(2), "RowSender", 2);
    BufferRanks.run(
        3,
        rank ->
            rank == 2
                ? OPTIONS
                : OPTIONS.timeout(Duration.ofSeconds(1)).onTimeout(TimeoutPolicy.MASK),
        my -> {
          round(my, ALL);
          if (my.rank == 2) {
            my.buffer.dispatch(stall.tensor(), ROWS.topkIdx(2), ROWS.topkWeights(2)).close();
          } else {
            var result = AllModes.dispatch(ROWS, my.buffer, my.rank);
            ROWS.assertReceived(result, my.rank, ALL, Set.of(2));
            result.close();
            assertThat(my.buffer.statistics().quarantinedRegions()).isEqualTo(1);
            stall.release();
          }
          my.buffer.unmask(2);
          assertThat(my.buffer.statistics().quarantinedRegions()).isZero();
          var first = AllModes.dispatch(ROWS, my.buffer, my.rank);
          var second = AllModes.dispatch(ROWS, my.buffer, my.rank);
          ROWS.assertReceived(first, my.rank, ALL, Set.of());
          ROWS.assertReceived(second, my.rank, ALL, Set.of());
          first.close();
          second.close();
          round(my, ALL);
        });
  }

  @Test
  void shouldReceiveOpenResultsFirst_whenAPeerComesBack() {
    CyclicBarrier barrier = new CyclicBarrier(3);
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          var before = AllModes.dispatch(ROWS, my.buffer, my.rank);
          before.event().synchronize(); // else the mask may come before its rows do
          barrier.await();
          if (my.rank == 2) {
            assertThatThrownBy(() -> my.buffer.unmask(2))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("open results: dispatch #1");
            before.close();
            my.buffer.unmask(2);
          } else {
            my.buffer.mask(2);
            var pending =
                AllModes.dispatch(ROWS, my.buffer, my.rank, DispatchOptions.defaults().hook());
            my.buffer.unmask(2);
            assertThat(pending.isReceived()).isTrue();
            ROWS.assertReceived(pending, my.rank, Set.of(0, 1), Set.of());
            ROWS.assertReceived(before, my.rank, ALL, Set.of());
            pending.close();
            before.close();
          }
          round(my, ALL);
        });
  }

  @Test
  void shouldRefuse_whenAMaskedRankUnmasksAnother() {
    CyclicBarrier barrier = new CyclicBarrier(3);
    BufferRanks.run(
        3,
        OPTIONS.timeout(Duration.ofMillis(600)),
        my -> {
          round(my, ALL);
          barrier.await();
          if (my.rank == 0) {
            my.buffer.mask(1);
            my.buffer.mask(2);
          }
          barrier.await();
          if (my.rank == 1) {
            assertThat(catchThrowable(() -> my.buffer.unmask(2)))
                .isInstanceOf(EpMaskedException.class);
          }
        });
  }
}
