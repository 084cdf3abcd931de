package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import io.github.deepep4j.error.EpMaskedException;
import io.github.deepep4j.fixtures.AllModes;
import io.github.deepep4j.fixtures.BufferRanks;
import io.github.deepep4j.fixtures.CountedRows;
import io.github.deepep4j.fixtures.Stall;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Masked ranks: the others go on with the right rows, and nothing late does harm. */
final class MaskTest {
  private static final CountedRows ROWS = new CountedRows(3, 6, 64);
  private static final Set<Integer> ALL = Set.of(0, 1, 2);
  private static final Set<Integer> TWO = Set.of(0, 1);
  private static final Set<Integer> NONE = Set.of();
  private static final int LOST = 2;

  private static final BufferOptions OPTIONS =
      AllModes.options(BufferOptions.of(6, 64, 8).maxTopk(2));

  /** Long enough for a healthy rank that shares two cores with many others. */
  private static final BufferOptions MASKING =
      OPTIONS.timeout(Duration.ofSeconds(1)).onTimeout(TimeoutPolicy.MASK);

  private static DispatchResult dispatch(BufferRanks.Rank my) {
    return AllModes.dispatch(ROWS, my.buffer, my.rank);
  }

  private static void round(BufferRanks.Rank my, Set<Integer> present) {
    AllModes.round(ROWS, my.buffer, my.rank, present);
  }

  private static EpMaskedException masked(ThrowingCallable call) {
    Throwable thrown = catchThrowable(call);
    assertThat(thrown).isInstanceOf(EpMaskedException.class);
    EpMaskedException masked = (EpMaskedException) thrown;
    assertThat(masked.maskedRank()).isEqualTo(LOST);
    assertThat(masked.maskedBy()).isIn(0, 1);
    assertThat(thrown)
        .hasMessageContaining("rank 2 was masked by rank " + masked.maskedBy() + "; unmask(2)");
    return masked;
  }

  @Test
  void shouldGoOnWithoutARank_whenItIsMaskedByCall() {
    CountDownLatch all = new CountDownLatch(3);
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          round(my, ALL);
          var older = dispatch(my);
          var handle = older.handle();
          var y = CountedRows.copyOfRows(older.x());
          older.close();
          all.countDown();
          all.await();
          if (my.rank == LOST) {
            my.awaitOthers(1);
            masked(() -> dispatch(my));
            masked(my.buffer::check);
            masked(() -> my.buffer.combine(y, handle));
            masked(() -> my.buffer.lowLatencyDispatch(ROWS.x(2), ROWS.topkIdx(2)));
            return;
          }
          assertThat(my.buffer.maskedRanks()).isEmpty();
          my.buffer.mask(LOST);
          my.buffer.mask(LOST);
          assertThat(my.buffer.maskedRanks()).containsExactly(LOST);
          round(my, TWO);
          round(my, TWO);
          // A handle from before: the lost rank's rows keep their place, empty, and add nothing.
          try (var cached =
              my.buffer.dispatch(ROWS.x(my.rank), handle, DispatchOptions.defaults())) {
            ROWS.assertRows(cached.x(), ROWS.expected(my.rank, ALL), Set.of(LOST));
          }
          try (var sums = my.buffer.combine(y, handle)) {
            ROWS.assertCombined(sums.combined(), my.rank, TWO);
          }
          assertThat(my.buffer.statistics().quarantinedRegions()).isZero();
        });
  }

  @Test
  void shouldMaskTheSilentRank_whenTimeoutPolicyIsMask() {
    BufferRanks.run(
        3,
        MASKING,
        my -> {
          round(my, ALL);
          if (my.rank == LOST) {
            my.awaitOthers(1);
            masked(() -> dispatch(my));
            return;
          }
          // Lost before its counts: no rows.
          round(my, TWO);
          assertThat(my.buffer.maskedRanks()).containsExactly(LOST);
          long started = System.nanoTime();
          round(my, TWO);
          assertThat(Duration.ofNanos(System.nanoTime() - started))
              .as("a masked rank is not waited for")
              .isLessThan(Duration.ofMillis(900));
        });
  }

  @Tag("cpu")
  @Test
  void shouldMaskTheSilentRank_whenItMissesALowLatencyCallFirst() {
    BufferRanks.run(
        3,
        MASKING,
        my -> {
          round(my, ALL);
          if (my.rank == LOST) {
            my.awaitOthers(1);
            return;
          }
          Tensor stats = Tensor.zeros(DType.INT32, 2);
          try (var result =
              my.buffer.lowLatencyDispatch(
                  ROWS.x(my.rank),
                  ROWS.topkIdx(my.rank),
                  LowLatencyDispatchOptions.defaults().receiveStats(stats))) {
            ROWS.assertReceived(result, my.rank, TWO);
            assertThat(stats.toInts()).isEqualTo(result.count().toInts());
          }
          round(my, TWO);
        });
  }

  @Tag("cpu")
  @Test
  void shouldKeepRowsInPlaceAndQuarantineTheRegion_whenLostAfterItsCounts() {
    Stall stall = new Stall(ROWS.x(LOST), "RowSender", 2);
    CountDownLatch sentLate = new CountDownLatch(1);
    BufferRanks.run(
        3,
        rank -> rank == LOST ? OPTIONS : MASKING,
        my -> {
          round(my, ALL);
          if (my.rank == LOST) {
            // Its own rows were sent to it in time, so the call itself may succeed.
            my.buffer.dispatch(stall.tensor(), ROWS.topkIdx(2), ROWS.topkWeights(2)).close();
            sentLate.countDown();
            my.awaitOthers(1);
            masked(() -> dispatch(my));
            return;
          }
          var result = dispatch(my);
          ROWS.assertReceived(result, my.rank, ALL, Set.of(LOST));
          assertThat(result.tokensPerExpert()).hasSize(2);
          try (var handle = result.handle();
              var sums = my.buffer.combine(CountedRows.copyOfRows(result.x()), handle)) {
            ROWS.assertCombined(sums.combined(), my.rank, TWO);
          }
          result.close();
          assertThat(my.buffer.statistics().quarantinedRegions()).isEqualTo(1);
          // One of the two regions is left: it can be used again and again, the other cannot.
          round(my, TWO);
          var second = dispatch(my);
          assertThatThrownBy(() -> dispatch(my))
              .isInstanceOf(IllegalStateException.class)
              .hasMessageContaining("peers that have not finished with dispatch #");
          stall.release();
          sentLate.await();
          var third = dispatch(my);
          ROWS.assertReceived(third, my.rank, TWO, NONE);
          ROWS.assertReceived(second, my.rank, TWO, NONE);
          third.close();
          second.close();
          assertThat(my.buffer.statistics().quarantinedRegions()).isZero();
        });
  }

  @Tag("cpu")
  @Test
  void shouldKeepBothRegions_whenLostInsideALowLatencyDispatch() {
    Stall stall = new Stall(ROWS.x(LOST), "RowSender", 2);
    CountDownLatch sentLate = new CountDownLatch(1);
    BufferRanks.run(
        3,
        rank -> rank == LOST ? OPTIONS : MASKING,
        my -> {
          round(my, ALL);
          if (my.rank == LOST) {
            my.buffer.lowLatencyDispatch(stall.tensor(), ROWS.topkIdx(2)).close();
            sentLate.countDown();
            my.awaitOthers(1);
            masked(() -> dispatch(my));
            return;
          }
          // A late sender only reaches its own slots, so that no region has to wait for it.
          var first = my.buffer.lowLatencyDispatch(ROWS.x(my.rank), ROWS.topkIdx(my.rank));
          var second = my.buffer.lowLatencyDispatch(ROWS.x(my.rank), ROWS.topkIdx(my.rank));
          ROWS.assertReceived(first, my.rank, TWO);
          stall.release();
          sentLate.await();
          ROWS.assertReceived(first, my.rank, TWO);
          ROWS.assertReceived(second, my.rank, TWO);
          first.close();
          second.close();
          round(my, TWO);
        });
  }

  @Test
  void shouldDoNoHarm_whenViewsDifferBetweenRanks() {
    CountDownLatch all = new CountDownLatch(3);
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          round(my, ALL);
          all.countDown();
          all.await();
          if (my.rank == LOST) {
            masked(() -> round(my, ALL));
            my.awaitOthers(1);
            return;
          }
          // Only rank 0 masks. Rank 1 learns of it when rank 2 leaves, and goes on too, although
          // its policy is to throw on a timeout.
          if (my.rank == 0) {
            my.buffer.mask(LOST);
          }
          var result = dispatch(my);
          var handle = result.handle();
          if (my.rank == 0) {
            ROWS.assertReceived(result, my.rank, TWO, NONE);
          } else {
            // Rank 2 may have been in this call before it was told.
            assertThat(result.numReceived())
                .isIn(ROWS.expected(1, TWO).size(), ROWS.expected(1, ALL).size());
          }
          try (var sums = my.buffer.combine(CountedRows.copyOfRows(result.x()), handle)) {
            ROWS.assertCombined(sums.combined(), my.rank, TWO);
          }
          result.close();
          round(my, TWO);
          assertThat(my.buffer.maskedRanks()).containsExactly(LOST);
        });
  }

  @Test
  void shouldKeepEachViewsRows_whenOneRankMasksBetweenSendAndReceive() {
    CountDownLatch sent = new CountDownLatch(3);
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          var result =
              AllModes.dispatch(ROWS, my.buffer, my.rank, DispatchOptions.defaults().hook());
          sent.countDown();
          sent.await();
          if (my.rank == 0) {
            my.buffer.mask(LOST);
          }
          ROWS.assertReceived(result, my.rank, ALL, my.rank == 0 ? Set.of(LOST) : NONE);
          if (my.rank == LOST) {
            my.awaitOthers(1);
            result.close();
            masked(() -> dispatch(my));
            return;
          }
          result.close();
          if (my.rank == 0) {
            assertThat(my.buffer.statistics().quarantinedRegions())
                .as("its word had come: nothing can be late")
                .isZero();
          }
        });
  }

  @Test
  void shouldLearnAtOnce_whenMaskedWhileItWaits() {
    CountDownLatch all = new CountDownLatch(3);
    CountDownLatch told = new CountDownLatch(1);
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          round(my, ALL);
          all.countDown();
          all.await();
          if (my.rank == LOST) {
            long started = System.nanoTime();
            masked(() -> dispatch(my));
            assertThat(Duration.ofNanos(System.nanoTime() - started))
                .isLessThan(Duration.ofSeconds(15));
            told.countDown();
            my.awaitOthers(1);
            return;
          }
          Thread.sleep(50);
          my.buffer.mask(LOST);
          told.await();
          round(my, TWO);
        });
  }

  @Test
  void shouldGoOnAlone_whenAllOthersAreSilent() {
    BufferRanks.run(
        3,
        rank -> OPTIONS.timeout(Duration.ofMillis(1_500)).onTimeout(TimeoutPolicy.MASK),
        my -> {
          if (my.rank != 0) {
            my.awaitOthers(2);
            return;
          }
          long started = System.nanoTime();
          round(my, Set.of(0));
          assertThat(Duration.ofNanos(System.nanoTime() - started))
              .as("all waits of a stage share one deadline")
              .isLessThan(Duration.ofMillis(2_900));
          assertThat(my.buffer.maskedRanks()).containsExactlyInAnyOrder(1, 2);
        });
  }

  @Test
  void shouldMask_whenAPeerClosesItsBufferUnderPolicyMask() {
    BufferRanks.run(
        3,
        OPTIONS.onTimeout(TimeoutPolicy.MASK),
        my -> {
          round(my, ALL);
          if (my.rank == LOST) {
            my.buffer.close();
            return;
          }
          round(my, TWO);
          assertThat(my.buffer.maskedRanks()).containsExactly(LOST);
        });
  }
}
