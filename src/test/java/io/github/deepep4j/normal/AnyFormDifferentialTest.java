package io.github.deepep4j.normal;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.DispatchLayout;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.fixtures.Expect;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.reference.ReferenceLayout;
import io.github.deepep4j.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Forms, rows, sizes and the number of ranks all drawn from one seed, dispatch to combine. */
class AnyFormDifferentialTest {
  private static final int[] RANK_COUNTS = {1, 2, 3, 4, 7, 8};
  private static final int ROUNDS = 6;

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldAgreeWithTheOracle_whenFormsAreMixed(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    int numRanks = RANK_COUNTS[random.nextInt(RANK_COUNTS.length)];
    int numExperts = Scenarios.numExperts(random, numRanks);
    int hidden = Scenarios.hidden(random);
    mixed(random, numRanks, Scenarios.options(numExperts, hidden));
  }

  @Tag("arena")
  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldAgreeWithTheOracle_whenRegionsAreOfAnArena(long seed) {
    SplittableRandom random = new SplittableRandom(seed ^ 0xA7E4A);
    int numRanks = RANK_COUNTS[random.nextInt(RANK_COUNTS.length)];
    int numExperts = Scenarios.numExperts(random, numRanks);
    BufferOptions options = Scenarios.options(numExperts, 56).arenaBytes(16 << 20);
    mixed(random, numRanks, options);
  }

  private static void mixed(SplittableRandom random, int numRanks, BufferOptions options) {
    MixedForms rounds = new MixedForms(random, numRanks, options, ROUNDS);
    RankEnd.run(numRanks, options, end -> rounds.run(end.buffer, end.rank));
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldReceiveInAnyOrder_whenTwoDispatchesAreOpen(long seed) {
    SplittableRandom random = new SplittableRandom(seed ^ 0x100C);
    int numRanks = RANK_COUNTS[random.nextInt(RANK_COUNTS.length)];
    int numExperts = Scenarios.numExperts(random, numRanks);
    List<Round> rounds = new ArrayList<>();
    for (int i = 0; i < 6; i++) {
      GlobalInput input = Scenarios.input(random, numRanks, numExperts, 56);
      rounds.add(new Round(input, Form.draw(random).withHook(), Payload.draw(input, random)));
    }
    RankEnd.run(
        numRanks,
        Scenarios.options(numExperts, 56),
        end -> {
          for (int i = 0; i < rounds.size(); i += 2) {
            try (HostTensors memory = new HostTensors();
                DispatchResult first = end.dispatch(rounds.get(i), memory);
                DispatchResult second = end.dispatch(rounds.get(i + 1), memory)) {
              if ((end.rank + i / 2) % 2 == 0) {
                second.receive();
              }
              end.check(rounds.get(i), first);
              end.check(rounds.get(i + 1), second);
              first.handle().close();
              second.handle().close();
            }
          }
        });
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldCountWhatTheOracleCounts_whenAskedForTheLayout(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    int numRanks = RANK_COUNTS[random.nextInt(RANK_COUNTS.length)];
    int numExperts = Scenarios.numExperts(random, numRanks);
    GlobalInput input = Scenarios.input(random, numRanks, numExperts, 8);
    DType indexType = random.nextBoolean() ? DType.INT32 : DType.INT64;
    RankEnd.run(
        numRanks,
        Scenarios.options(numExperts, 8),
        end -> {
          ReferenceLayout expected = new ReferenceLayout(input, end.rank);
          long[][] topkIdx = input.rank(end.rank).topkIdx();
          try (HostTensors memory = new HostTensors();
              DispatchLayout layout =
                  end.buffer.dispatchLayout(memory.indices(topkIdx, input.numTopk(), indexType))) {
            Expect.ints("per rank", expected.numTokensPerRank, layout.numTokensPerRank());
            Expect.ints("per expert", expected.numTokensPerExpert, layout.numTokensPerExpert());
            Expect.ints("per node", expected.numTokensPerNode, layout.numTokensPerNode());
            Expect.bytes(
                "in rank", expected.isTokenInRank, numRanks, DType.UINT8, layout.isTokenInRank());
          }
        });
  }

  @Test
  void shouldAgreeWithTheOracle_whenRowsAreAsWideAsInLargeModels() {
    SplittableRandom random = new SplittableRandom(7168);
    GlobalInput input =
        Inputs.draw(random, new Inputs.Shape(4, 64, 8, 7168, RoutingShape.UNIFORM), 13, 0, 32, 1);
    mixedOnce(random, input, Form.rankMajor());
    mixedOnce(random, input, Form.expertMajor(16).withZeroFill());
  }

  private static void mixedOnce(SplittableRandom random, GlobalInput input, Form form) {
    Round round = new Round(input, form, Payload.bf16(input));
    CombineRound.Form combine = CombineRound.Form.plain().withBiases(2).withWeightsBack();
    MixedForms.Step step =
        new MixedForms.Step(
            round,
            new CombineRound(round, combine, input.hidden(), random),
            new CombineRound(round, combine.inPlace(), input.hidden(), random),
            Payload.cast(input, input.hidden(), io.github.deepep4j.Quantization.ROUNDED, random));
    RankEnd.run(
        input.numRanks(),
        Scenarios.options(input.numExperts(), input.hidden()),
        end -> MixedForms.run(end, step));
  }
}
