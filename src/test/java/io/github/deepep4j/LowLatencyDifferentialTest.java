package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.LowLatencyGroup;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.LowLatencyRound.Routing;
import io.github.deepep4j.fixtures.LowLatencyShapes;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Low-latency dispatch and combine against the oracle, every row and every byte. */
final class LowLatencyDifferentialTest {
  private static final String SEEDS = "io.github.deepep4j.fixtures.Seeds#few";

  /** How a round's combine is called. */
  private enum Form {
    STAGED,
    IN_PLACE,
    INTO
  }

  private static List<LowLatencyRound> rounds(Shape shape, boolean wild, SplittableRandom random) {
    List<LowLatencyRound> rounds = new ArrayList<>();
    for (Routing routing : Routing.values()) {
      rounds.add(
          wild
              ? LowLatencyRound.wild(shape, routing, random)
              : LowLatencyRound.of(shape, routing, random));
    }
    return rounds;
  }

  /** Runs all rounds on one buffer and checks everything that comes out. */
  private static void check(
      List<LowLatencyRound> rounds,
      BufferOptions options,
      @Nullable Quantization quantization,
      boolean logFmt,
      boolean wide) {
    Shape shape = rounds.get(0).shape();
    LowLatencyGroup.run(
        shape.numRanks(),
        options,
        wide,
        member -> {
          LowLatencyRank rank = member.rank();
          Telemetry telemetry = new Telemetry(rank, shape, member.number());
          LowLatencyDispatchOptions send = telemetry.of(quantization);
          for (int i = 0; i < rounds.size(); i++) {
            LowLatencyRound round = rounds.get(i);
            try (LowLatencyDispatch sent = rank.dispatch(round, send)) {
              rank.checkDispatch(round, sent, quantization);
              telemetry.check(round);
              checkCombine(
                  rank, member.number(), round, sent.handle(), Form.values()[i % 3], logFmt);
            }
          }
        });
  }

  private static void checkCombine(
      LowLatencyRank rank,
      int number,
      LowLatencyRound round,
      LowLatencyHandle handle,
      Form form,
      boolean logFmt) {
    LowLatencyCombineOptions options = LowLatencyCombineOptions.defaults();
    options = logFmt ? options.logFmt() : options;
    Tensor into =
        rank.keep(Tensor.zeros(DType.BF16, round.numTokens(number), round.shape().hidden()));
    options = form == Form.INTO ? options.into(into) : options;
    try (LowLatencyCombine sums =
        form == Form.IN_PLACE
            ? rank.combineInPlace(round, handle, options)
            : rank.combine(round, handle, options)) {
      rank.checkCombine(round, sums, logFmt);
    }
    if (form == Form.INTO) {
      rank.checkCombined(
          round, TestDevice.read(into, Tensor::toShorts), logFmt); // lives on after the result
    }
  }

  /** Statistics tensors of one rank and what they must hold. */
  private static final class Telemetry {
    private final Tensor stats;
    private final Tensor waits;
    private final int number;
    private final int[] total;

    Telemetry(LowLatencyRank rank, Shape shape, int number) {
      this.number = number;
      this.total = new int[shape.localExperts()];
      Arrays.fill(total, 7);
      this.stats = rank.keep(Tensor.copyOf(total.clone(), total.length));
      long[] unset = new long[shape.numRanks()];
      Arrays.fill(unset, -1);
      this.waits = rank.keep(Tensor.copyOf(unset, unset.length));
    }

    LowLatencyDispatchOptions of(@Nullable Quantization quantization) {
      LowLatencyDispatchOptions options =
          LowLatencyDispatchOptions.defaults().receiveStats(stats).waitNanos(waits);
      return quantization == null ? options : options.quantize(quantization);
    }

    void check(LowLatencyRound round) {
      int[] counts = round.oracle().counts(number);
      for (int i = 0; i < total.length; i++) {
        total[i] += counts[i];
      }
      assertThat(TestDevice.read(stats, Tensor::toInts)).as("accumulated counts").isEqualTo(total);
      long[] waited = TestDevice.read(waits, Tensor::toLongs);
      for (long wait : waited) {
        assertThat(wait).isNotNegative();
      }
      if (!TestDevice.isCuda()) { // whose blocks wait for the last one that sends
        assertThat(waited[number]).as("own rows are always there").isZero();
      }
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource(SEEDS)
  void shouldEqualTheOracle_whenBf16(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    Shape shape = LowLatencyShapes.any(8, 40, random);
    check(
        rounds(shape, random.nextInt(4) == 0, random),
        LowLatencyShapes.options(shape),
        null,
        false,
        random.nextBoolean());
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource(SEEDS)
  void shouldEqualTheOracle_whenCastToFp8(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    for (Quantization quantization : Quantization.values()) {
      Shape shape = LowLatencyShapes.any(128, 9, random);
      check(
          rounds(shape, random.nextInt(4) == 0, random),
          LowLatencyShapes.options(shape).lowLatencyOnly(),
          quantization,
          false,
          random.nextBoolean());
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource(SEEDS)
  void shouldEqualTheOracle_whenCombinedAsLogFmt(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    Shape shape = LowLatencyShapes.any(512, 4, random);
    check(
        rounds(shape, random.nextInt(4) == 0, random),
        LowLatencyShapes.options(shape),
        null,
        true,
        random.nextBoolean());
  }

  @Test
  void shouldEqualTheOracle_whenTokensHave32Experts() {
    for (int ranks : new int[] {1, 8}) {
      SplittableRandom random = new SplittableRandom(32 + ranks);
      Shape shape = new Shape(ranks, 40, 7, 128, BufferOptions.MAX_TOPK);
      check(
          rounds(shape, false, random),
          LowLatencyShapes.options(shape),
          Quantization.UE8M0,
          false,
          true);
    }
  }
}
