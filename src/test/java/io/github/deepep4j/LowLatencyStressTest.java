package io.github.deepep4j;

import io.github.deepep4j.fixtures.LowLatencyGroup;
import io.github.deepep4j.fixtures.LowLatencyGroup.Member;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.LowLatencyRound.Routing;
import io.github.deepep4j.fixtures.LowLatencyShapes;
import io.github.deepep4j.fixtures.NormalRound;
import io.github.deepep4j.fixtures.Seeds;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Many short rounds on one buffer, with ranks that dawdle at random: what goes wrong only when a
 * rank is a whole call ahead of another one shows here. Every row of every round is checked.
 */
final class LowLatencyStressTest {
  private static final int ROUNDS = TestDevice.isCuda() ? 2_000 : 500;
  private static final int DIFFERENT_ROUNDS = 12;
  private static final Shape SHAPE = new Shape(8, 16, 3, 128, 4);

  static long[] seed() {
    return Seeds.few().limit(1).toArray();
  }

  /** What one round does; the same on all ranks. */
  private enum Step {
    LOW_LATENCY,
    TWO_OPEN,
    FP8,
    NORMAL
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("seed")
  void shouldStayRight_whenRanksDawdle(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    List<Routing> routings = List.of(Routing.values());
    List<LowLatencyRound> rounds = new ArrayList<>();
    for (int i = 0; i < DIFFERENT_ROUNDS; i++) {
      Routing routing = routings.get(random.nextInt(routings.size()));
      rounds.add(LowLatencyRound.of(SHAPE, routing, random));
    }
    List<NormalRound> normal = rounds.stream().map(NormalRound::new).toList();
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          SplittableRandom steps = new SplittableRandom(seed);
          SplittableRandom own = new SplittableRandom(seed + 1 + member.number());
          for (int i = 0; i < ROUNDS; i++) {
            Step step = Step.values()[steps.nextInt(Step.values().length)];
            int first = steps.nextInt(DIFFERENT_ROUNDS);
            int second = steps.nextInt(DIFFERENT_ROUNDS);
            dawdle(own);
            switch (step) {
              case LOW_LATENCY -> one(member.rank(), rounds.get(first), null, own);
              case FP8 -> one(member.rank(), rounds.get(first), Quantization.UE8M0, own);
              case TWO_OPEN -> two(member, rounds.get(first), rounds.get(second), own);
              case NORMAL -> normal.get(first).run(member.buffer(), member.number());
            }
            member.rank().close(); // this round's tensors
          }
        });
  }

  private static void dawdle(SplittableRandom own) throws InterruptedException {
    if (own.nextInt(16) == 0) {
      Thread.sleep(own.nextInt(3));
    }
  }

  private static void one(
      LowLatencyRank rank,
      LowLatencyRound round,
      @Nullable Quantization quantization,
      SplittableRandom own)
      throws InterruptedException {
    LowLatencyDispatchOptions options = LowLatencyDispatchOptions.defaults();
    options = quantization == null ? options : options.quantize(quantization);
    try (LowLatencyDispatch sent = rank.dispatch(round, options)) {
      rank.checkDispatch(round, sent, quantization);
      dawdle(own);
      try (LowLatencyCombine sums =
          rank.combineInPlace(round, sent.handle(), LowLatencyCombineOptions.defaults())) {
        rank.checkCombine(round, sums, false);
      }
    }
  }

  private static void two(
      Member member, LowLatencyRound first, LowLatencyRound second, SplittableRandom own)
      throws InterruptedException {
    LowLatencyRank rank = member.rank();
    LowLatencyDispatchOptions half = LowLatencyDispatchOptions.defaults().hook();
    LowLatencyCombineOptions halfSum = LowLatencyCombineOptions.defaults().hook();
    try (LowLatencyDispatch sent1 = rank.dispatch(first, half);
        LowLatencyDispatch sent2 = rank.dispatch(second, half)) {
      if (own.nextBoolean()) {
        sent2.receive();
      }
      dawdle(own);
      rank.checkDispatch(first, sent1, null);
      rank.checkDispatch(second, sent2, null);
      try (LowLatencyCombine sums1 = rank.combine(first, sent1.handle(), halfSum);
          LowLatencyCombine sums2 = rank.combine(second, sent2.handle(), halfSum)) {
        if (own.nextBoolean()) {
          sums2.receive();
        }
        dawdle(own);
        rank.checkCombine(first, sums1, false);
        rank.checkCombine(second, sums2, false);
      }
    }
  }
}
