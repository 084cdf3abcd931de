package io.github.deepep4j.normal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.fixtures.Expect;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Routing that only the device finds bad: one rank's mistake is every rank's exception. */
class RefusedRoutingTest {
  private static final int NUM_RANKS = 3;
  private static final int NUM_EXPERTS = 6;
  private static final int HIDDEN = 8;
  private static final int BAD_RANK = 2;
  private static final int BAD_TOKEN = 4;

  private final SplittableRandom random = new SplittableRandom(99);
  private final GlobalInput input =
      Inputs.draw(
          random,
          new Inputs.Shape(NUM_RANKS, NUM_EXPERTS, 3, HIDDEN, RoutingShape.UNIFORM),
          5,
          0,
          13);
  private final Round round = new Round(input, Form.rankMajor(), Payload.bf16(input));

  @ParameterizedTest
  @CsvSource({
    "6, INT64",
    "-2, INT64",
    "4294967297, INT64",
    "-9223372036854775808, INT64",
    "6, INT32",
    "-2147483648, INT32"
  })
  void shouldThrowOnEveryRankAndGoOn_whenAnIndexIsOutOfRange(long index, DType indexType) {
    refused(
        indexType,
        "rank 2, token 4: expert index " + index + " is not from -1 to 5",
        topkIdx -> topkIdx[BAD_TOKEN][1] = index);
  }

  @Test
  void shouldThrowOnEveryRankAndGoOn_whenAnExpertIsTwiceInAToken() {
    refused(
        DType.INT64,
        "rank 2, token 4: expert index 3 appears twice in the token",
        topkIdx -> topkIdx[BAD_TOKEN] = new long[] {3, -1, 3});
  }

  /** Something wrong with a routing. */
  private interface Mistake {
    void make(long[][] topkIdx);
  }

  private void refused(DType indexType, String message, Mistake mistake) {
    RankEnd.run(
        NUM_RANKS,
        Scenarios.options(NUM_EXPERTS, HIDDEN),
        end -> {
          for (int i = 0; i < 4; i++) {
            try (HostTensors memory = new HostTensors()) {
              DispatchOptions exact = DispatchOptions.defaults();
              DispatchOptions options = i % 2 == 0 ? exact : exact.expertMajor(2);
              Tensor bad = topkIdx(end, indexType, mistake, memory);
              assertRefused(message, () -> dispatch(end, bad, options, memory));
              checkBounded(end, bad, options.maxReceivedTokens(7), message, memory);
            }
            end.dispatchAndCheck(round).close();
          }
        });
  }

  private void checkBounded(
      RankEnd end, Tensor bad, DispatchOptions options, String message, HostTensors memory) {
    try (DispatchResult dropped = dispatch(end, bad, options, memory);
        DispatchHandle handle = dropped.handle()) {
      Expect.ints("rows", new int[] {0}, dropped.numReceivedTensor());
      assertThat(TestDevice.read(dropped.sourceToken(), Tensor::toInts))
          .hasSize(7)
          .containsOnly(-1);
      assertThat(handle.numTokens()).isEqualTo(input.rank(end.rank).numTokens());
      assertRefused(message, end.buffer::check);
    }
  }

  private DispatchResult dispatch(
      RankEnd end, Tensor topkIdx, DispatchOptions options, HostTensors memory) {
    Tensor x = memory.bf16(input.rank(end.rank).x(), HIDDEN);
    return end.buffer.dispatch(x, topkIdx, null, options);
  }

  private Tensor topkIdx(RankEnd end, DType dtype, Mistake mistake, HostTensors memory) {
    long[][] rows = input.rank(end.rank).topkIdx().clone();
    for (int token = 0; token < rows.length; token++) {
      rows[token] = rows[token].clone();
    }
    if (end.rank == BAD_RANK) {
      mistake.make(rows);
    }
    return memory.indices(rows, 3, dtype);
  }

  private static void assertRefused(
      String message, org.assertj.core.api.ThrowableAssert.ThrowingCallable call) {
    assertThatThrownBy(call)
        .isInstanceOfSatisfying(
            EpException.class, e -> assertThat(e.code()).isEqualTo(EpException.Code.REFUSED))
        .hasMessageContaining(message);
  }

  @Test
  void shouldNameTheLowestRank_whenTwoRanksAreWrong() {
    RankEnd.run(
        NUM_RANKS,
        Scenarios.options(NUM_EXPERTS, HIDDEN),
        end -> {
          try (HostTensors memory = new HostTensors()) {
            long[][] rows = input.rank(end.rank).topkIdx().clone();
            if (rows.length > 0) {
              rows[1] = new long[] {0, 1, 70 + end.rank};
            }
            Tensor bad = memory.indices(rows, 3, DType.INT64);
            assertRefused(
                "rank 0, token 1: expert index 70",
                () -> dispatch(end, bad, DispatchOptions.defaults(), memory));
          }
        });
  }

  @Test
  void shouldThrowOnItsOwnRankOnly_whenAskedForTheLayout() {
    RankEnd.run(
        NUM_RANKS,
        Scenarios.options(NUM_EXPERTS, HIDDEN),
        end -> {
          try (HostTensors memory = new HostTensors()) {
            Tensor twice = memory.indices(new long[][] {{1, 2, -1}, {5, -1, 5}}, 3, DType.INT32);
            assertRefused(
                "rank " + end.rank + ", token 1: expert index 5 appears twice",
                () -> end.buffer.dispatchLayout(twice).close());
          }
        });
  }
}
