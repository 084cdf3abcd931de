package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowable;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.fixtures.AllModes;
import io.github.deepep4j.fixtures.BufferRanks;
import io.github.deepep4j.fixtures.CountedRows;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Ranks that call different things: every rank throws a mismatch with both calls in words, at once
 * and not at the deadline. What may differ between ranks works.
 */
final class DifferentCallsTest {
  private static final CountedRows ROWS = new CountedRows(3, 6, 512);
  private static final BufferOptions OPTIONS =
      AllModes.options(BufferOptions.of(6, 512, 8).maxTopk(2).expertMajor().normalRegions(4));

  /**
   * One rank's state before the calls that differ: two handles of each order, one LL dispatch where
   * the backend has low latency. Each call ends when its work has.
   */
  private static final class Prepared {
    final Buffer buffer;
    final Tensor x;
    final Tensor idx;
    final Tensor weights;
    final DispatchHandle first;
    final DispatchHandle second;
    final DispatchHandle major;
    private final LowLatencyDispatch lowLatency;
    final int rows;
    final int majorRows;

    Prepared(Buffer buffer, int rank) {
      this.buffer = buffer;
      x = ROWS.x(rank);
      idx = ROWS.topkIdx(rank);
      weights = ROWS.topkWeights(rank);
      try (var one = buffer.dispatch(x, idx, weights);
          var two = buffer.dispatch(x, idx, weights);
          var three = buffer.dispatch(x, idx, weights, DispatchOptions.defaults().expertMajor(1))) {
        first = one.handle();
        second = two.handle();
        major = three.handle();
        rows = one.numReceived();
        majorRows = three.numReceived();
      }
      lowLatency = buffer.lowLatencyDispatch(x, idx);
    }

    /** Number of the call that differs. */
    int nextCall() {
      return 5;
    }

    void close() {
      lowLatency.close();
    }

    private static Tensor zeros(DType dtype, long... shape) {
      return TestDevice.place(Tensor.zeros(dtype, shape));
    }

    private void dispatch(
        Tensor values, Tensor routing, @Nullable Tensor gate, DispatchOptions options) {
      buffer.dispatch(values, routing, gate, options).event().synchronize();
    }

    private static DispatchOptions options() {
      return DispatchOptions.defaults();
    }

    private void combine(int numRows, DispatchHandle handle, CombineOptions options) {
      buffer.combine(zeros(DType.BF16, numRows, 512), handle, options).event().synchronize();
    }

    void call(String name) {
      long tokens = x.size(0);
      switch (name) {
        case "dispatch" -> dispatch(x, idx, weights, options());
        case "bounded" -> dispatch(x, idx, weights, options().maxReceivedTokens(20));
        case "expertMajor" -> dispatch(x, idx, weights, options().expertMajor(1));
        case "aligned" -> dispatch(x, idx, weights, options().expertMajor(4));
        case "topOne" ->
            dispatch(x, zeros(DType.INT64, tokens, 1), zeros(DType.FLOAT32, tokens, 1), options());
        case "int32" ->
            dispatch(x, zeros(DType.INT32, tokens, 1), zeros(DType.FLOAT32, tokens, 1), options());
        case "unweighted" -> dispatch(x, idx, null, options());
        case "fp8" -> dispatch(zeros(DType.FP8_E4M3, tokens, 512), idx, weights, options());
        case "scales" ->
            dispatch(
                zeros(DType.FP8_E4M3, tokens, 512),
                idx,
                weights,
                options().scales(zeros(DType.FLOAT32, tokens, 4)));
        case "plain" -> dispatch(x, idx, weights, options().quantize(Quantization.PLAIN));
        case "rounded" -> dispatch(x, idx, weights, options().quantize(Quantization.ROUNDED));
        case "narrow" -> dispatch(zeros(DType.BF16, tokens, 256), idx, weights, options());
        case "cached" -> buffer.dispatch(x, first, options()).event().synchronize();
        case "cachedSecond" -> buffer.dispatch(x, second, options()).event().synchronize();
        case "combine" -> combine(rows, first, CombineOptions.defaults());
        case "combineSecond" -> combine(rows, second, CombineOptions.defaults());
        case "combineWeights" ->
            combine(
                rows, first, CombineOptions.defaults().topkWeights(zeros(DType.FLOAT32, rows, 2)));
        case "combineMajor" -> combine(majorRows, major, CombineOptions.defaults());
        case "weighted" -> combine(majorRows, major, CombineOptions.defaults().weighted());
        case "hook" -> dispatch(x, idx, weights, options().hook());
        case "lowLatency" -> lowLatency(LowLatencyDispatchOptions.defaults());
        case "lowLatencyHook" -> lowLatency(LowLatencyDispatchOptions.defaults().hook());
        case "lowLatencyPlain" ->
            lowLatency(LowLatencyDispatchOptions.defaults().quantize(Quantization.PLAIN));
        case "lowLatencyCombine" -> lowLatencyCombine(LowLatencyCombineOptions.defaults());
        case "logFmt" -> lowLatencyCombine(LowLatencyCombineOptions.defaults().logFmt());
        default -> throw new AssertionError(name);
      }
    }

    private void lowLatency(LowLatencyDispatchOptions options) {
      try (LowLatencyDispatch result = buffer.lowLatencyDispatch(x, idx, options)) {
        result.receive();
        result.event().synchronize();
      }
    }

    private void lowLatencyCombine(LowLatencyCombineOptions options) {
      Tensor y = CountedRows.copyOfRows(lowLatency.x());
      buffer.lowLatencyCombine(y, weights, lowLatency.handle(), options).event().synchronize();
    }
  }

  @ParameterizedTest
  @CsvSource({
    // operations
    "dispatch, cached, dispatch(rank-major, cached dispatch(rank-major",
    "dispatch, combine, dispatch(rank-major, combine(rank-major",
    "cached, combine, cached dispatch(, combine(",
    // forms and arguments of dispatch
    "dispatch, bounded, dispatch(rank-major, 'dispatch(bounded, rank-major'",
    "dispatch, expertMajor, dispatch(rank-major, dispatch(expert-major",
    "expertMajor, aligned, dispatch(expert-major, alignment 4",
    "dispatch, topOne, K=2 INT64, K=1 INT64",
    "topOne, int32, K=1 INT64, K=1 INT32",
    "dispatch, unweighted, 'with weights)', 'INT64)'",
    "dispatch, fp8, BF16 rows of 1024 bytes, FP8_E4M3 rows of 512 bytes",
    "fp8, scales, FP8_E4M3 rows, 4 scale words",
    "plain, rounded, cast PLAIN, cast ROUNDED",
    "dispatch, plain, BF16 rows, cast PLAIN",
    "dispatch, narrow, rows of 1024 bytes, rows of 512 bytes",
    "cached, cachedSecond, handle of call 1, handle of call 2",
    // combine
    "combine, combineSecond, handle of call 1, handle of call 2",
    "combine, combineWeights, combine(rank-major, with weights",
    "combine, combineMajor, combine(rank-major, combine(expert-major",
    "combineMajor, weighted, combine(expert-major, weighted",
  })
  void shouldThrowBothCallsOnEveryRank_whenOneRankCallsSomethingElse(
      String most, String one, String mostWords, String oneWords) {
    callDifferently(most, one, mostWords, oneWords);
  }

  @ParameterizedTest
  @CsvSource({
    "dispatch, lowLatency, dispatch(rank-major, lowLatencyDispatch(low-latency",
    "combine, lowLatency, combine(, lowLatencyDispatch(",
    "dispatch, lowLatencyCombine, dispatch(, lowLatencyCombine(low-latency",
    "lowLatency, lowLatencyCombine, lowLatencyDispatch(, lowLatencyCombine(",
    "lowLatencyHook, dispatch, lowLatencyDispatch(, dispatch(rank-major",
    "cached, lowLatencyCombine, cached dispatch(, lowLatencyCombine(",
    "combine, lowLatencyCombine, combine(rank-major, lowLatencyCombine(",
    "lowLatency, lowLatencyPlain, BF16 rows of 1024 bytes, cast PLAIN",
    "lowLatencyCombine, logFmt, lowLatencyCombine(, LogFMT-10",
  })
  void shouldThrowBothCallsOnEveryRank_whenACallIsOfLowLatency(
      String most, String one, String mostWords, String oneWords) {
    callDifferently(most, one, mostWords, oneWords);
  }

  private static void callDifferently(String most, String one, String mostWords, String oneWords) {
    BufferRanks.run(
        3,
        OPTIONS,
        my -> {
          Prepared prepared = new Prepared(my.buffer, my.rank);
          long started = System.nanoTime();
          Throwable thrown = catchThrowable(() -> prepared.call(my.rank == 2 ? one : most));
          assertThat(thrown)
              .isInstanceOf(EpException.class)
              .hasMessageContaining("call " + prepared.nextCall() + " is");
          assertThat(thrown).hasMessageContainingAll(mostWords, oneWords);
          assertThat(((EpException) thrown).code()).isEqualTo(EpException.Code.MISMATCH);
          assertThat(((EpException) thrown).rank()).isEqualTo(my.rank);
          assertThat(System.nanoTime() - started)
              .as("well before the deadline of 30 s")
              .isLessThan(TimeUnit.SECONDS.toNanos(15));
          // The buffer has failed and says the same again.
          assertThat(catchThrowable(() -> prepared.call("dispatch"))).isSameAs(thrown);
          assertThat(catchThrowable(my.buffer::check)).isSameAs(thrown);
          assertThat(catchThrowable(() -> my.buffer.unmask(0))).isSameAs(thrown);
          prepared.close();
        });
  }

  @Test
  void shouldWork_whenOnlyWhatMayDifferDiffers() {
    BufferRanks.run(
        3,
        rank -> OPTIONS.receiveCapacityRows(30 + rank).timeout(Duration.ofSeconds(20 + rank)),
        my -> {
          Tensor x = ROWS.x(my.rank);
          DispatchOptions call =
              DispatchOptions.defaults()
                  .numSms(1 + my.rank)
                  .timeout(Duration.ofSeconds(30 + my.rank));
          DispatchOptions exact = my.rank == 1 ? call.hook() : call.expertAlignment(my.rank + 1);
          try (var result =
                  my.buffer.dispatch(x, ROWS.topkIdx(my.rank), ROWS.topkWeights(my.rank), exact);
              var handle = result.handle()) {
            ROWS.assertReceived(result, my.rank, Set.of(0, 1, 2), Set.of());
            CombineOptions back =
                my.rank == 0 ? CombineOptions.defaults().bias(x) : CombineOptions.defaults();
            try (var sums = my.buffer.combine(CountedRows.copyOfRows(result.x()), handle, back)) {
              if (my.rank != 0) {
                ROWS.assertCombined(sums.combined(), my.rank, Set.of(0, 1, 2));
              }
            }
          }
          DispatchOptions bounded = call.maxReceivedTokens(20 + my.rank);
          try (var result = my.buffer.dispatch(x, ROWS.topkIdx(my.rank), null, bounded);
              var handle = result.handle()) {
            assertThat(result.x().size(0)).isEqualTo(20 + my.rank);
            assertThat(TestDevice.read(result.numReceivedTensor(), Tensor::toInts))
                .containsExactly(ROWS.expected(my.rank, Set.of(0, 1, 2)).size());
            assertThat(handle.isClosed()).isFalse();
          }
          DispatchOptions major = call.expertMajor(2);
          DispatchOptions filled = my.rank == 2 ? major.zeroFill() : major;
          try (var result = my.buffer.dispatch(x, ROWS.topkIdx(my.rank), null, filled);
              var handle = result.handle()) {
            assertThat(result.numReceived() % 2).isZero();
            assertThat(handle.rowOrder()).isEqualTo(RowOrder.EXPERT_MAJOR);
          }
        });
  }
}
