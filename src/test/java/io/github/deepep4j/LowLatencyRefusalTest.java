package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.fixtures.LowLatencyGroup;
import io.github.deepep4j.fixtures.LowLatencyGroup.Member;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.LowLatencyRound.Routing;
import io.github.deepep4j.fixtures.LowLatencyShapes;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Routing that only its data shows to be bad: one rank's mistake, told to every rank, also to those
 * that would have received nothing from it. Rank 2 routes badly, and all its other choices are −1.
 */
final class LowLatencyRefusalTest {
  private static final Shape SHAPE = new Shape(4, 8, 6, 24, 3);
  private static final int OFFENDER = 2;

  private static LowLatencyRound round(long seed) {
    return LowLatencyRound.of(SHAPE, Routing.SPREAD, new SplittableRandom(seed));
  }

  /** Four tokens that go nowhere but for one token's choices. */
  private static LowLatencyDispatch dispatchBad(
      Member member, LowLatencyRound round, long[] choices, LowLatencyDispatchOptions options) {
    if (member.number() != OFFENDER) {
      return member.rank().dispatch(round, options);
    }
    long[] topkIdx = new long[4 * SHAPE.numTopk()];
    Arrays.fill(topkIdx, -1);
    System.arraycopy(choices, 0, topkIdx, 3 * SHAPE.numTopk(), choices.length);
    LowLatencyRank rank = member.rank();
    return member
        .buffer()
        .lowLatencyDispatch(
            rank.keep(Tensor.zeros(DType.BF16, 4, SHAPE.hidden())),
            rank.topkIdx(topkIdx, SHAPE.numTopk()),
            options);
  }

  /** Waits for a call that comes to nothing; on the CPU it has thrown before. */
  private static void end(LowLatencyDispatch sent) {
    try (sent) {
      sent.event().synchronize();
    }
  }

  private static void checkRefusal(EpException refusal, int rank, String rule) {
    assertThat(refusal.code()).isEqualTo(EpException.Code.REFUSED);
    assertThat(refusal.rank()).isEqualTo(rank);
    assertThat(refusal)
        .hasMessageContaining("rank " + OFFENDER + ", token 3")
        .hasMessageContaining(rule);
  }

  private static void checkUsable(Member member, LowLatencyRound round) {
    try (LowLatencyDispatch sent =
            member.rank().dispatch(round, LowLatencyDispatchOptions.defaults());
        LowLatencyCombine sums =
            member.rank().combine(round, sent.handle(), LowLatencyCombineOptions.defaults())) {
      member.rank().checkDispatch(round, sent, null);
      member.rank().checkCombine(round, sums, false);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "8, 0, -1, expert index 8 is not from -1 to 7",
    "0, -2, 1, expert index -2 is not from -1 to 7",
    "2147483647, 0, 1, expert index 2147483647 is not from -1 to 7",
    "5, -1, 5, expert index 5 appears twice"
  })
  void shouldThrowOnEveryRankAndGoOn_whenOneRankRoutesBadly(
      long first, long second, long third, String rule) {
    LowLatencyRound before = round(1);
    LowLatencyRound after = round(2);
    for (boolean wide : new boolean[] {true, false}) {
      LowLatencyGroup.run(
          SHAPE.numRanks(),
          LowLatencyShapes.options(SHAPE),
          wide,
          member -> {
            Tensor stats = member.rank().keep(Tensor.zeros(DType.INT32, SHAPE.localExperts()));
            for (int i = 0; i < 3; i++) { // more often than there are regions
              EpException refusal =
                  catchThrowableOfType(
                      EpException.class,
                      () ->
                          end(
                              dispatchBad(
                                  member,
                                  before,
                                  new long[] {first, second, third},
                                  LowLatencyDispatchOptions.defaults().receiveStats(stats))));
              checkRefusal(refusal, member.number(), rule);
              assertThat(TestDevice.read(stats, Tensor::toInts)).containsOnly(0);
              checkUsable(member, after);
            }
          });
    }
  }

  @Test
  void shouldNameTheValue_whenItIsBeyond32Bits() {
    LowLatencyRound round = round(3);
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          EpException refusal =
              catchThrowableOfType(
                  EpException.class,
                  () ->
                      end(
                          dispatchBad(
                              member,
                              round,
                              new long[] {0, 1L << 32, 1},
                              LowLatencyDispatchOptions.defaults())));
          checkRefusal(refusal, member.number(), "expert index 4294967296 is not");
          checkUsable(member, round);
        });
  }

  @Test
  void shouldBeEmptyAndSumToZero_whenRefusedBehindAHook() {
    LowLatencyRound round = round(4);
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          LowLatencyDispatch sent =
              dispatchBad(
                  member,
                  round,
                  new long[] {9, -1, -1},
                  LowLatencyDispatchOptions.defaults().hook());
          checkRefusal(
              catchThrowableOfType(
                  EpException.class,
                  () -> {
                    sent.receive();
                    sent.event().synchronize();
                  }),
              member.number(),
              "expert index 9");
          assertThat(TestDevice.read(sent.count(), Tensor::toInts)).containsOnly(0);
          assertThat(TestDevice.read(sent.layoutRange(), Tensor::toLongs)).containsOnly(0);
          Tensor weights =
              member
                  .rank()
                  .keep(
                      Tensor.copyOf(
                          new float[sent.handle().numTokens() * SHAPE.numTopk()],
                          sent.handle().numTokens(),
                          SHAPE.numTopk()));
          try (LowLatencyCombine sums =
              member.buffer().lowLatencyCombine(member.rank().y(round), weights, sent.handle())) {
            short[] zeros = new short[sent.handle().numTokens() * SHAPE.hidden()];
            assertThat(TestDevice.read(sums.combined(), Tensor::toShorts)).isEqualTo(zeros);
          }
          sent.close();
          checkUsable(member, round);
        });
  }

  /** The CPU only: a GPU tells whoever waits for the call, and the next call. */
  @Tag("cpu")
  @Test
  void shouldThrowOnEveryRank_whenRefusalIsFirstSeenByAnAccessorCombineOrClose() {
    LowLatencyRound round = round(5);
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          for (int way = 0; way < 3; way++) {
            LowLatencyDispatch sent =
                dispatchBad(
                    member,
                    round,
                    new long[] {9, -1, -1},
                    LowLatencyDispatchOptions.defaults().hook());
            int chosen = way;
            EpException refusal =
                catchThrowableOfType(
                    EpException.class,
                    () -> {
                      switch (chosen) {
                        case 0 -> sent.x();
                        case 1 ->
                            member
                                .buffer()
                                .lowLatencyCombine(
                                    member.rank().y(round),
                                    member
                                        .rank()
                                        .keep(
                                            Tensor.zeros(
                                                DType.FLOAT32,
                                                sent.handle().numTokens(),
                                                SHAPE.numTopk())),
                                    sent.handle());
                        default -> sent.close();
                      }
                    });
            checkRefusal(refusal, member.number(), "expert index 9");
            sent.close();
            checkUsable(member, round);
          }
        });
  }
}
