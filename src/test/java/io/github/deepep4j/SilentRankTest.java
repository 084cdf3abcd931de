package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.fixtures.AllModes;
import io.github.deepep4j.fixtures.BufferRanks;
import io.github.deepep4j.fixtures.CountedRows;
import io.github.deepep4j.fixtures.Stall;
import io.github.deepep4j.tensor.Tensor;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A rank that falls silent at each step of the protocol: all others throw a timeout that names it,
 * the rank that gave up first and the step, after about one deadline. The output step has no place
 * where a test could stop a rank: it announces the call and its outputs in one go.
 */
final class SilentRankTest {
  private static final CountedRows ROWS = new CountedRows(3, 6, 64);
  private static final Set<Integer> ALL = Set.of(0, 1, 2);
  private static final int SILENT = 2;

  /** Long enough for a healthy rank that shares two cores with many others. */
  private static final Duration DEADLINE = Duration.ofMillis(700);

  private static final BufferOptions OPTIONS = BufferOptions.of(6, 64, 8).maxTopk(2).lowLatency();

  /** One rank's inputs, and an earlier dispatch of each mode that also warms everything up. */
  private static final class Prepared {
    final Buffer buffer;
    final int rank;
    final Tensor x;
    final Tensor idx;
    final Tensor weights;
    final DispatchHandle handle;
    final Tensor y;
    final LowLatencyDispatch lowLatency;
    final Tensor lowLatencyY;

    Prepared(BufferRanks.Rank my) {
      buffer = my.buffer;
      rank = my.rank;
      x = ROWS.x(rank);
      idx = ROWS.topkIdx(rank);
      weights = ROWS.topkWeights(rank);
      try (var result = buffer.dispatch(x, idx, weights)) {
        handle = result.handle();
        y = CountedRows.copyOfRows(result.x());
      }
      buffer.combine(y, handle).close();
      lowLatency = buffer.lowLatencyDispatch(x, idx);
      lowLatencyY = CountedRows.copyOfRows(lowLatency.x());
    }

    void call(String name) {
      switch (name) {
        case "dispatch" -> buffer.dispatch(x, idx, weights, dispatch());
        case "cached" -> buffer.dispatch(x, handle, dispatch());
        case "combine" -> buffer.combine(y, handle, CombineOptions.defaults().timeout(DEADLINE));
        case "lowLatency" ->
            buffer.lowLatencyDispatch(
                x, idx, LowLatencyDispatchOptions.defaults().timeout(DEADLINE));
        case "lowLatencyCombine" ->
            buffer.lowLatencyCombine(
                lowLatencyY,
                weights,
                lowLatency.handle(),
                LowLatencyCombineOptions.defaults().timeout(DEADLINE));
        default -> throw new AssertionError(name);
      }
    }
  }

  private static DispatchOptions dispatch() {
    return DispatchOptions.defaults().timeout(DEADLINE);
  }

  /** Checks what a rank throws that waits for the silent one; returns it. */
  private static EpTimeoutException timesOut(ThrowingCallable call, String stage) {
    long started = System.nanoTime();
    Throwable thrown = catchThrowable(call);
    long millis = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - started);
    assertThat(thrown).isInstanceOf(EpTimeoutException.class);
    EpTimeoutException timeout = (EpTimeoutException) thrown;
    assertThat(timeout.culprit()).as("culprit of %s", thrown).isEqualTo(SILENT);
    assertThat(timeout.stage()).isEqualTo(stage);
    assertThat(timeout.origin()).isIn(0, 1);
    assertThat(timeout.code()).isEqualTo(EpException.Code.TIMEOUT);
    assertThat(thrown)
        .hasMessageContainingAll(
            "rank " + SILENT + " did not answer rank " + timeout.origin() + " (" + stage + ")");
    assertThat(millis).isLessThan(DEADLINE.toMillis() + 8_000);
    return timeout;
  }

  @ParameterizedTest
  @ValueSource(strings = {"dispatch", "cached", "combine", "lowLatency", "lowLatencyCombine"})
  void shouldNameTheRank_whenItDoesNotCall(String operation) {
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          Prepared prepared = new Prepared(my);
          if (my.rank == SILENT) {
            my.awaitOthers(1);
            // It comes late and learns that the others have given up because of it.
            timesOut(() -> prepared.call(operation), "call");
            return;
          }
          var thrown = timesOut(() -> prepared.call(operation), "call");
          // Whatever is called next throws the same; what needs no other rank still works.
          assertThat(catchThrowable(() -> prepared.call("combine"))).isSameAs(thrown);
          assertThat(catchThrowable(my.buffer::check)).isSameAs(thrown);
          assertThat(my.buffer.maskedRanks()).isEmpty();
          assertThat(my.buffer.statistics().openHandles()).isEqualTo(1);
          prepared.lowLatency.close();
          my.buffer.close();
          my.buffer.close();
        });
  }

  @Test
  void shouldLearnAtOnce_whenAnotherRankHasGivenUp() {
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          Prepared prepared = new Prepared(my);
          if (my.rank == SILENT) {
            my.awaitOthers(1);
            return;
          }
          // Rank 1 would wait for 30 s, but rank 0 tells it.
          DispatchOptions call = my.rank == 0 ? dispatch() : DispatchOptions.defaults();
          var thrown =
              timesOut(
                  () -> my.buffer.dispatch(prepared.x, prepared.idx, prepared.weights, call),
                  "call");
          assertThat(thrown.origin()).isZero();
          assertThat(thrown.rank()).isEqualTo(my.rank);
          assertThat(thrown)
              .hasMessageContaining(my.rank == 0 ? "the deadline is 700 ms" : "reported by rank 0");
        });
  }

  @ParameterizedTest
  @ValueSource(strings = {"counts", "arrival"})
  void shouldNameTheStep_whenRankStopsInsideItsDispatch(String stage) {
    boolean counts = stage.equals("counts");
    Stall stall =
        new Stall(
            counts ? ROWS.topkIdx(SILENT) : ROWS.x(SILENT),
            counts ? "RoutingPlan" : "RowSender",
            2);
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          Prepared prepared = new Prepared(my);
          if (my.rank == SILENT) {
            Tensor x = counts ? prepared.x : stall.tensor();
            Tensor idx = counts ? stall.tensor() : prepared.idx;
            timesOut(
                () -> {
                  // All rows that it needs may be there already: then it learns at its next call.
                  my.buffer.dispatch(x, idx, prepared.weights).close();
                  my.buffer.check();
                },
                stage);
            return;
          }
          timesOut(() -> prepared.call("dispatch"), stage);
          stall.release();
        });
  }

  @Test
  void shouldNameTheStep_whenRankStopsInsideItsLowLatencyDispatch() {
    Stall stall = new Stall(ROWS.x(SILENT), "RowSender", 2);
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          Prepared prepared = new Prepared(my);
          if (my.rank == SILENT) {
            timesOut(
                () -> {
                  my.buffer.lowLatencyDispatch(stall.tensor(), prepared.idx).close();
                  my.buffer.check();
                },
                "arrival");
            return;
          }
          timesOut(() -> prepared.call("lowLatency"), "arrival");
          stall.release();
        });
  }

  @Test
  void shouldNameTheStep_whenRankWaitsForAnotherAndDoesNotGrant() {
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          Prepared prepared = new Prepared(my);
          switch (my.rank) {
            case 0 -> {
              // Rank 1 is silent for both; this rank has masked it, rank 2 has not.
              my.buffer.mask(1);
              timesOut(() -> prepared.call("dispatch"), "grant");
            }
            case 1 -> my.awaitOthers(1);
            default ->
                timesOut(
                    () -> my.buffer.dispatch(prepared.x, prepared.idx, prepared.weights), "grant");
          }
        });
  }

  @Test
  void shouldNameTheReader_whenItHoldsExpertOutputs() {
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          Prepared prepared = new Prepared(my);
          CombineOptions call = CombineOptions.defaults().timeout(DEADLINE);
          if (my.rank == SILENT) {
            var first = my.buffer.combine(prepared.y, prepared.handle, call.hook());
            var second = my.buffer.combine(prepared.y, prepared.handle, call.hook());
            my.awaitOthers(1);
            first.receive();
            timesOut(my.buffer::check, "readers");
            assertThat(catchThrowable(second::receive)).isInstanceOf(EpTimeoutException.class);
            second.close();
            return;
          }
          my.buffer.combine(prepared.y, prepared.handle).close();
          my.buffer.combine(prepared.y, prepared.handle).close();
          timesOut(() -> my.buffer.combine(prepared.y, prepared.handle, call), "readers");
        });
  }

  @Test
  void shouldNameTheRank_whenItGivesNoCredit() {
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          Prepared prepared = new Prepared(my);
          var second = my.buffer.lowLatencyDispatch(prepared.x, prepared.idx);
          if (my.rank == SILENT) {
            my.awaitOthers(1);
            second.close();
            return;
          }
          prepared.lowLatency.close();
          second.close();
          timesOut(() -> prepared.call("lowLatency"), "credit");
        });
  }

  @Test
  void shouldTakeOneDeadline_whenSeveralRanksAreSilent() {
    CountedRows rows = new CountedRows(5, 10, 64);
    Duration deadline = Duration.ofMillis(1_500);
    BufferRanks.run(
        5,
        BufferOptions.of(10, 64, 8).maxTopk(2),
        my -> {
          my.buffer.dispatch(rows.x(my.rank), rows.topkIdx(my.rank), null).close();
          if (my.rank >= 2) {
            my.awaitOthers(3);
            return;
          }
          long started = System.nanoTime();
          Throwable thrown =
              catchThrowable(
                  () ->
                      my.buffer.dispatch(
                          rows.x(my.rank),
                          rows.topkIdx(my.rank),
                          null,
                          DispatchOptions.defaults().timeout(deadline)));
          assertThat(thrown).isInstanceOf(EpTimeoutException.class);
          assertThat(((EpTimeoutException) thrown).culprit()).isBetween(2, 4);
          assertThat(Duration.ofNanos(System.nanoTime() - started))
              .isBetween(deadline.minusMillis(50), deadline.multipliedBy(2).minusMillis(50));
        });
  }

  @Test
  void shouldWait_whenRankIsLate() {
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          for (int late = 0; late < 3; late++) {
            if (my.rank == late) {
              Thread.sleep(150);
            }
            try (var result = AllModes.dispatch(ROWS, my.buffer, my.rank);
                var handle = result.handle()) {
              ROWS.assertReceived(result, my.rank, ALL, Set.of());
              try (var sums = my.buffer.combine(CountedRows.copyOfRows(result.x()), handle)) {
                ROWS.assertCombined(sums.combined(), my.rank, ALL);
              }
            }
          }
        });
  }
}
