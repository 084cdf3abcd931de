package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.fixtures.AllModes;
import io.github.deepep4j.fixtures.BufferRanks;
import io.github.deepep4j.fixtures.CountedRows;
import io.github.deepep4j.fixtures.Stall;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Ranks that close their buffer, are interrupted, or have failed, while others wait for them. */
final class EndedRankTest {
  private static final CountedRows ROWS = new CountedRows(3, 6, 64);
  private static final Set<Integer> ALL = Set.of(0, 1, 2);
  private static final BufferOptions OPTIONS = BufferOptions.of(6, 64, 8).maxTopk(2).lowLatency();

  private static DispatchResult dispatch(BufferRanks.Rank my) {
    return AllModes.dispatch(ROWS, my.buffer, my.rank);
  }

  private static EpException failure(Throwable thrown, EpException.Code code, String... words) {
    assertThat(thrown).isInstanceOf(EpException.class).hasMessageContainingAll(words);
    EpException failure = (EpException) thrown;
    assertThat(failure.code()).as("code of %s", thrown).isEqualTo(code);
    return failure;
  }

  @Test
  void shouldAbortAtOnce_whenAPeerHasClosedItsBuffer() {
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          dispatch(my).close();
          if (my.rank == 1) {
            Thread.sleep(50);
            my.buffer.close();
            return;
          }
          long started = System.nanoTime();
          Throwable thrown = catchThrowable(() -> dispatch(my));
          failure(thrown, EpException.Code.ABORTED, "rank 1 has closed its buffer");
          assertThat(Duration.ofNanos(System.nanoTime() - started))
              .isLessThan(Duration.ofSeconds(15));
          assertThat(catchThrowable(my.buffer::check)).isSameAs(thrown);
        });
  }

  @Test
  void shouldAbortAtOnce_whenAPeersThreadDiesInsideItsCall() {
    // The exception passes through the buffer's call; try-with-resources then closes the buffer.
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          dispatch(my).close();
          if (my.rank == 2) {
            TensorDying dying = new TensorDying();
            assertThat(
                    catchThrowable(
                        () ->
                            my.buffer.dispatch(
                                io.github.deepep4j.tensor.Tensor.ofAddress(
                                    ROWS.x(2).address(),
                                    io.github.deepep4j.tensor.DType.BF16,
                                    io.github.deepep4j.tensor.Device.cpu(),
                                    dying,
                                    ROWS.tokens(2),
                                    64),
                                ROWS.topkIdx(2),
                                null)))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("dying");
            my.buffer.close();
            return;
          }
          Throwable thrown =
              catchThrowable(
                  () -> my.buffer.dispatch(ROWS.x(my.rank), ROWS.topkIdx(my.rank), null));
          failure(thrown, EpException.Code.ABORTED, "rank 2 has closed its buffer", "arrival");
        });
  }

  /** Throws where rows are sent. */
  private static final class TensorDying implements io.github.deepep4j.tensor.Tensor.Lifetime {
    @Override
    public void checkOpen() {
      boolean sending =
          StackWalker.getInstance()
              .walk(
                  frames -> frames.anyMatch(frame -> frame.getClassName().endsWith(".RowSender")));
      if (sending) {
        throw new IllegalStateException("dying");
      }
    }
  }

  @Test
  void shouldComplete_whenPeersHaveClosedAfterSendingAllTheirData() {
    CountDownLatch closed = new CountDownLatch(2);
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          var result =
              AllModes.dispatch(ROWS, my.buffer, my.rank, DispatchOptions.defaults().hook());
          var lowLatency =
              my.buffer.lowLatencyDispatch(
                  ROWS.x(my.rank),
                  ROWS.topkIdx(my.rank),
                  LowLatencyDispatchOptions.defaults().hook());
          if (my.rank != 1) {
            my.buffer.close();
            closed.countDown();
            return;
          }
          closed.await();
          lowLatency.receive();
          ROWS.assertReceived(lowLatency, my.rank, ALL);
          ROWS.assertReceived(result, my.rank, ALL, Set.of());
          result.close();
          Throwable thrown = catchThrowable(() -> dispatch(my));
          failure(thrown, EpException.Code.ABORTED, "rank 0 has closed its buffer");
        });
  }

  @Test
  void shouldSumFromClosedPeers_whenTheirOutputsWerePublished() {
    CountDownLatch closed = new CountDownLatch(2);
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          try (var result = dispatch(my);
              var handle = result.handle()) {
            var sums =
                my.buffer.combine(
                    CountedRows.copyOfRows(result.x()), handle, CombineOptions.defaults().hook());
            if (my.rank != 1) {
              sums.close();
              my.buffer.close();
              closed.countDown();
              return;
            }
            closed.await();
            // Their windows are gone for them, but live until the last rank lets go.
            ROWS.assertCombined(sums.combined(), my.rank, ALL);
            sums.close();
          }
        });
  }

  @ParameterizedTest
  @ValueSource(strings = {"dispatch", "lowLatency", "combine", "unmask"})
  void shouldEndTheWait_whenThreadIsInterrupted(String operation) {
    CountDownLatch failed = new CountDownLatch(1);
    AtomicLong interruptedAt = new AtomicLong();
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          var result = dispatch(my);
          var handle = result.handle();
          var y = CountedRows.copyOfRows(result.x());
          my.buffer.combine(y, handle).close();
          my.buffer.lowLatencyDispatch(ROWS.x(my.rank), ROWS.topkIdx(my.rank)).close();
          result.close();
          Runnable call =
              switch (operation) {
                case "dispatch" -> () -> dispatch(my);
                case "combine" -> () -> my.buffer.combine(y, handle);
                case "unmask" -> () -> my.buffer.unmask(2);
                default ->
                    () -> my.buffer.lowLatencyDispatch(ROWS.x(my.rank), ROWS.topkIdx(my.rank));
              };
          switch (my.rank) {
            case 0 -> {
              Throwable thrown = catchThrowable(call::run);
              long nanos = System.nanoTime() - interruptedAt.get();
              failure(thrown, EpException.Code.INTERRUPTED, "the thread was interrupted");
              assertThat(Thread.interrupted()).as("the flag stays set").isTrue();
              assertThat(nanos).as("10 ms if alone").isLessThan(TimeUnit.SECONDS.toNanos(2));
              assertThat(catchThrowable(call::run)).isSameAs(thrown);
              failed.countDown();
            }
            case 1 -> {
              // Waits for the silent rank 2, and hears that rank 0 will not come either.
              Throwable thrown = catchThrowable(call::run);
              failure(thrown, EpException.Code.ABORTED, "rank 0 was interrupted");
            }
            default -> {
              my.awaitWaiting(0);
              interruptedAt.set(System.nanoTime());
              my.threadOf(0).interrupt();
              failed.await();
              failure(
                  catchThrowable(call::run), EpException.Code.ABORTED, "rank 0 was interrupted");
            }
          }
        });
  }

  @Test
  void shouldCloseQuietly_whenResultsOfAFailedBufferAreOpen() {
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          Duration deadline = Duration.ofMillis(700);
          var received = dispatch(my);
          var pending =
              my.buffer.dispatch(
                  ROWS.x(my.rank),
                  ROWS.topkIdx(my.rank),
                  null,
                  DispatchOptions.defaults().hook().timeout(deadline));
          if (my.rank == 2) {
            my.awaitOthers(1);
            return;
          }
          var y = CountedRows.copyOfRows(received.x());
          Throwable thrown =
              catchThrowable(
                  () ->
                      my.buffer.combine(
                          y, received.handle(), CombineOptions.defaults().timeout(deadline)));
          assertThat(thrown).isInstanceOf(EpTimeoutException.class);
          // What was received stays readable; what was not is refused with the same failure.
          ROWS.assertReceived(received, my.rank, ALL, Set.of());
          assertThat(catchThrowable(pending::receive)).isSameAs(thrown);
          assertThat(catchThrowable(pending::x)).isSameAs(thrown);
          long started = System.nanoTime();
          pending.close();
          received.close();
          received.handle().close();
          my.buffer.close();
          assertThat(Duration.ofNanos(System.nanoTime() - started))
              .isLessThan(Duration.ofSeconds(5));
        });
  }

  @Test
  void shouldReportTheOrigin_whenTwoRanksFailAtOnce() {
    // Ranks 0 and 1 stop before their counts: rank 2 gives up, and they find out at the same
    // moment.
    Stall zero = new Stall(ROWS.topkIdx(0), "RoutingPlan", 1);
    Stall one = new Stall(ROWS.topkIdx(1), "RoutingPlan", 1);
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          dispatch(my).close();
          var call = DispatchOptions.defaults().timeout(Duration.ofMillis(500));
          var x = ROWS.x(my.rank);
          if (my.rank == 2) {
            zero.awaitReached();
            one.awaitReached();
            Throwable thrown =
                catchThrowable(() -> my.buffer.dispatch(x, ROWS.topkIdx(2), null, call));
            failure(thrown, EpException.Code.TIMEOUT, "did not answer rank 2 (counts)");
            zero.release();
            one.release();
            return;
          }
          var idx = (my.rank == 0 ? zero : one).tensor();
          Throwable thrown = catchThrowable(() -> my.buffer.dispatch(x, idx, null, call));
          // Each has heard rank 2, or the other one that passes on what it has heard.
          failure(thrown, EpException.Code.TIMEOUT, "did not answer rank 2 (counts): reported by");
        });
  }
}
