package io.github.deepep4j.normal;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchLayout;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.fixtures.Expect;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.Nodes;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.reference.ReferenceLayout;
import io.github.deepep4j.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every form of normal mode over several nodes, every byte against the oracle. */
@Tag("nodes")
class NodesDifferentialTest {
  private static final String NODES = "io.github.deepep4j.fixtures.Nodes#all";
  private static final CombineRound.Form PLAIN = CombineRound.Form.plain();

  @ParameterizedTest(name = "{0}")
  @MethodSource(NODES)
  void shouldRoundInsideEachNodeFirst_whenRankMajor(Nodes nodes) {
    combines(
        nodes,
        401,
        List.of(Form.rankMajor(), Form.rankMajor().bounded(2)),
        List.of(
            PLAIN,
            PLAIN.withBiases(1).withInto(),
            PLAIN.withBiases(2).inPlace(),
            PLAIN.withWeightsBack(),
            PLAIN.withWeightsBack().withBiases(1).withHook()));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource(NODES)
  void shouldSumSlotsInsideEachNodeFirst_whenExpertMajor(Nodes nodes) {
    combines(
        nodes,
        402,
        List.of(Form.expertMajor(8).withZeroFill(), Form.expertMajor(2).bounded(1)),
        List.of(
            PLAIN,
            PLAIN.withBiases(1).withInto(),
            PLAIN.withBiases(2).inPlace(),
            PLAIN.withWeightsBack(),
            PLAIN.withWeighting(),
            PLAIN.withWeighting().withBiases(1).inPlace(),
            PLAIN.withWeighting().withBiases(2).withHook()));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource(NODES)
  void shouldDeliverTheSameRows_whenAnyPayload(Nodes nodes) {
    SplittableRandom random = new SplittableRandom(403 + nodes.hashCode());
    int numExperts = Scenarios.numExperts(random, nodes.numRanks());
    List<Round> rounds = new ArrayList<>();
    for (Form form :
        List.of(
            Form.rankMajor().withAlignment(5),
            Form.rankMajor().bounded(1).withIndices(DType.INT32),
            Form.expertMajor(4).withZeroFill(),
            Form.expertMajor(8).withoutWeights().withHook())) {
      GlobalInput input = Scenarios.input(random, nodes.numRanks(), numExperts, 128);
      for (Payload payload :
          List.of(
              Payload.anyBits(input, 56, random),
              Payload.fp8(input, 256, 3, true, random),
              Payload.fp8(input, 128, 0, false, random),
              Payload.cast(input, 128, Inputs.any(random, Quantization.values()), random))) {
        rounds.add(new Round(input, form, payload, nodes.ranksPerNode()));
      }
    }
    RankEnd.run(
        nodes.numRanks(),
        nodes.of(Scenarios.options(numExperts, 128)),
        end -> rounds.forEach(round -> end.dispatchAndCheck(round).close()));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource(NODES)
  void shouldAgreeWithTheOracle_whenFormsAreMixed(Nodes nodes) {
    for (int seed = 404; seed < 408; seed++) {
      SplittableRandom random = new SplittableRandom(seed * 31 + nodes.hashCode());
      int numExperts = Scenarios.numExperts(random, nodes.numRanks());
      mixed(nodes, random, Scenarios.options(numExperts, Scenarios.hidden(random)));
    }
  }

  @Tag("arena")
  @ParameterizedTest(name = "{0}")
  @MethodSource(NODES)
  void shouldAgreeWithTheOracle_whenRegionsAreOfAnArena(Nodes nodes) {
    SplittableRandom random = new SplittableRandom(409 + nodes.hashCode());
    int numExperts = Scenarios.numExperts(random, nodes.numRanks());
    mixed(nodes, random, Scenarios.options(numExperts, 56).arenaBytes(16 << 20));
  }

  private static void mixed(Nodes nodes, SplittableRandom random, BufferOptions options) {
    BufferOptions across = nodes.of(options);
    MixedForms rounds = new MixedForms(random, nodes.numRanks(), across, 6);
    RankEnd.run(nodes.numRanks(), across, end -> rounds.run(end.buffer, end.rank));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource(NODES)
  void shouldReceiveInAnyOrder_whenTwoHooksAreOpen(Nodes nodes) {
    SplittableRandom random = new SplittableRandom(410 + nodes.hashCode());
    int numExperts = Scenarios.numExperts(random, nodes.numRanks());
    GlobalInput input = Scenarios.input(random, nodes.numRanks(), numExperts, 56);
    Round round = new Round(input, Form.expertMajor(2), Payload.bf16(input), nodes.ranksPerNode());
    List<CombineRound> pair =
        List.of(
            new CombineRound(round, PLAIN.withHook(), 56, random),
            new CombineRound(round, PLAIN.withHook().withWeighting(), 56, random));
    RankEnd.run(
        nodes.numRanks(),
        nodes.of(Scenarios.options(numExperts, 56)),
        end -> {
          try (HostTensors memory = new HostTensors();
              DispatchHandle handle = end.dispatchAndCheck(round);
              CombineResult first = end.combine(pair.get(0), handle, memory);
              CombineResult second = end.combine(pair.get(1), handle, memory)) {
            if (end.rank % 2 == 0) {
              first.receive();
            }
            end.check(pair.get(1), second);
            end.check(pair.get(0), first);
          }
        });
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource(NODES)
  void shouldCountTokensPerNode_whenAskedForTheLayout(Nodes nodes) {
    SplittableRandom random = new SplittableRandom(411 + nodes.hashCode());
    int numExperts = Scenarios.numExperts(random, nodes.numRanks());
    List<GlobalInput> inputs = new ArrayList<>();
    for (RoutingShape routing : RoutingShape.values()) {
      var shape = new Inputs.Shape(nodes.numRanks(), numExperts, 6, 8, routing);
      inputs.add(Inputs.draw(random, shape, Inputs.awkwardTokens(random, nodes.numRanks(), 32)));
    }
    RankEnd.run(
        nodes.numRanks(),
        nodes.of(Scenarios.options(numExperts, 8)),
        end -> {
          for (GlobalInput input : inputs) {
            var expected = new ReferenceLayout(input, end.rank, nodes.ranksPerNode());
            long[][] topkIdx = input.rank(end.rank).topkIdx();
            try (HostTensors memory = new HostTensors();
                DispatchLayout layout =
                    end.buffer.dispatchLayout(memory.indices(topkIdx, 6, DType.INT64))) {
              Expect.ints("per node", expected.numTokensPerNode, layout.numTokensPerNode());
              Expect.ints("per rank", expected.numTokensPerRank, layout.numTokensPerRank());
            }
          }
        });
  }

  /** Each dispatch over a few inputs, each combined in every form. */
  private static void combines(
      Nodes nodes, long seed, List<Form> dispatches, List<CombineRound.Form> forms) {
    SplittableRandom random = new SplittableRandom(seed * 31 + nodes.hashCode());
    int numExperts = Scenarios.numExperts(random, nodes.numRanks());
    int hidden = Scenarios.hidden(random);
    List<CombineRound> combines = new ArrayList<>();
    for (Form dispatch : dispatches) {
      for (RoutingShape routing :
          List.of(RoutingShape.UNIFORM, RoutingShape.HOLES, RoutingShape.SKEWED)) {
        var shape =
            new Inputs.Shape(
                nodes.numRanks(), numExperts, Inputs.awkwardTopk(random), hidden, routing);
        GlobalInput input =
            Inputs.draw(random, shape, Inputs.awkwardTokens(random, nodes.numRanks(), 32));
        Round round = new Round(input, dispatch, Payload.bf16(input), nodes.ranksPerNode());
        forms.forEach(form -> combines.add(new CombineRound(round, form, hidden, random)));
      }
    }
    RankEnd.run(
        nodes.numRanks(),
        nodes.of(Scenarios.options(numExperts, hidden)),
        end -> {
          for (int i = 0; i < combines.size(); i += forms.size()) {
            try (DispatchHandle handle = end.dispatchAndCheck(combines.get(i).dispatch)) {
              for (CombineRound combine : combines.subList(i, i + forms.size())) {
                end.combineAndCheck(combine, handle);
              }
            }
          }
        });
  }
}
