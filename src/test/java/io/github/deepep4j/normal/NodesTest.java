package io.github.deepep4j.normal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.Statistics;
import io.github.deepep4j.error.EpCapacityException;
import io.github.deepep4j.fixtures.BufferRanks;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.LowLatencyGroup;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.Nodes;
import io.github.deepep4j.fixtures.RankInput;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.fixtures.TinyRouting;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.reference.LowLatencyOracle;
import io.github.deepep4j.reference.ReferenceLayout;
import io.github.deepep4j.reference.RowOrigin;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.function.IntFunction;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** What nodes change, what crosses between them, and what they must not disturb. */
@Tag("nodes")
class NodesTest {
  private static final String NODES = "io.github.deepep4j.fixtures.Nodes#all";
  private static final int HIDDEN = 56;
  private static final CombineRound.Form PLAIN = CombineRound.Form.plain();

  /**
   * Token 0 of rank 3 of {@link TinyRouting} went to ranks 0, 1 and 2, which return 1, 256 and 1.
   * In one node that is 258, which BF16 has. In nodes of two, ranks 0 and 1 give 257, a tie that
   * goes to 256, and 256 + 1 once more.
   */
  @Test
  void shouldDependOnTheNodes_whenRankMajor() {
    float[] returned = {1, 256, 1, 0};
    assertThat(sumOfRank3(new Nodes(1, 4), returned)).isEqualTo(258f);
    assertThat(sumOfRank3(new Nodes(2, 2), returned)).isEqualTo(256f);
    assertThat(sumOfRank3(new Nodes(4, 1), returned)).isEqualTo(258f);
  }

  private static float sumOfRank3(Nodes nodes, float[] returned) {
    GlobalInput input = TinyRouting.input();
    return combinedOf(
        nodes, input, DispatchOptions.defaults(), 3, rank -> new float[] {returned[rank]});
  }

  /**
   * One token of rank 0 chose experts 2, 3 (rank 1), 0 (rank 0) and 4 (rank 2), in this order,
   * which return 2^25, −2^25, 1 and 3. By slot, node 0 gives 2^25 − 2^25 + 1 = 1; by rank it would
   * lose the 1 in 1 + 2^25.
   */
  @ParameterizedTest(name = "{0}")
  @MethodSource(NODES)
  void shouldSumANodeBySlot_whenExpertMajor(Nodes nodes) {
    float large = 1 << 25;
    long[] choices = {2, 3, 0, 4};
    GlobalInput input =
        new GlobalInput(
            2 * nodes.numRanks(),
            4,
            8,
            java.util.stream.IntStream.range(0, nodes.numRanks())
                .mapToObj(
                    rank ->
                        rank == 0
                            ? new RankInput(
                                new long[][] {choices},
                                new float[][] {{1, 1, 1, 1}},
                                new short[1][8])
                            : new RankInput(new long[0][], new float[0][], new short[0][]))
                .toList());
    float[][] returned = {{1}, {large, -large}, {3}};
    assertThat(
            combinedOf(
                nodes,
                input,
                DispatchOptions.defaults().expertMajor(1),
                0,
                rank -> rank < 3 ? returned[rank] : new float[0]))
        .isEqualTo(4f);
  }

  /** First element of a rank's first sum; each rank returns rows of these values, repeated. */
  private static float combinedOf(
      Nodes nodes,
      GlobalInput input,
      DispatchOptions options,
      int watched,
      IntFunction<float[]> returned) {
    float[] seen = {Float.NaN};
    RankEnd.run(
        nodes.numRanks(),
        nodes.of(BufferOptions.of(input.numExperts(), input.hidden(), 4)).expertMajor(),
        end -> {
          RankInput mine = input.rank(end.rank);
          try (HostTensors memory = new HostTensors();
              DispatchResult rows =
                  end.buffer.dispatch(
                      memory.bf16(mine.x(), input.hidden()),
                      memory.indices(mine.topkIdx(), input.numTopk(), DType.INT64),
                      null,
                      options);
              DispatchHandle handle = rows.handle()) {
            float[] values = returned.apply(end.rank);
            short[][] y = new short[rows.numReceived()][input.hidden()];
            for (int row = 0; row < y.length; row++) {
              float value = values[row % values.length];
              Arrays.fill(y[row], (short) (Float.floatToRawIntBits(value) >>> 16));
            }
            try (CombineResult sums = end.buffer.combine(memory.bf16(y, input.hidden()), handle)) {
              if (end.rank == watched) {
                short[] bits = TestDevice.read(sums.combined(), Tensor::toShorts);
                seen[0] = Float.intBitsToFloat(bits[0] << 16);
              }
            }
          }
        });
    return seen[0];
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource(NODES)
  void shouldCrossOncePerTokenAndNode_whenAnyForm(Nodes nodes) {
    SplittableRandom random = new SplittableRandom(420 + nodes.hashCode());
    int numRanks = nodes.numRanks();
    var shape = new Inputs.Shape(numRanks, 3 * numRanks, 8, 128, RoutingShape.UNIFORM);
    GlobalInput input = Inputs.draw(random, shape, Inputs.awkwardTokens(random, numRanks, 32));
    Payload bf16 = Payload.bf16(input);
    Payload fp8 = Payload.fp8(input, 128, 5, true, random);
    Payload cast = Payload.cast(input, 128, Quantization.PLAIN, random);
    Round rankMajor = new Round(input, Form.rankMajor(), fp8, nodes.ranksPerNode());
    Round expertMajor = new Round(input, Form.expertMajor(4), bf16, nodes.ranksPerNode());
    CombineRound first = new CombineRound(rankMajor, PLAIN.withBiases(1), 56, random);
    CombineRound second = new CombineRound(expertMajor, PLAIN.withWeighting(), 128, random);
    RankEnd.run(
        numRanks,
        nodes.of(Scenarios.options(input.numExperts(), 128)),
        end -> {
          try (HostTensors memory = new HostTensors();
              DispatchHandle byRank = end.dispatchAndCheck(rankMajor);
              DispatchHandle byExpert = end.dispatchAndCheck(expertMajor)) {
            end.dispatchCached(expertMajor, cast, byExpert, memory).close();
            end.combineAndCheck(first, byRank);
            end.combineAndCheck(second, byExpert);
          }
          int[] pairs = new ReferenceLayout(input, end.rank, nodes.ranksPerNode()).numTokensPerNode;
          List<Statistics.Node> network = end.buffer.statistics().network();
          assertThat(network).hasSize(nodes.numNodes());
          for (int node = 0; node < nodes.numNodes(); node++) {
            long crossing = node == nodes.nodeOf(end.rank) ? 0 : pairs[node];
            long sent = (128 + 5 * 4) + 2 * 128 + (128 + 4);
            assertThat(network.get(node))
                .as("rank %d, node %d", end.rank, node)
                .isEqualTo(
                    new Statistics.Node(
                        3 * crossing,
                        sent * crossing,
                        2 * crossing,
                        (2 * 56 + 2 * 128) * crossing));
          }
        });
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource(NODES)
  void shouldGoOn_whenAWholeNodeHasNoTokens(Nodes nodes) {
    SplittableRandom random = new SplittableRandom(430 + nodes.hashCode());
    int numRanks = nodes.numRanks();
    var shape = new Inputs.Shape(numRanks, 2 * numRanks, 4, HIDDEN, RoutingShape.UNIFORM);
    for (int empty = 0; empty < nodes.numNodes(); empty++) {
      int[] tokens = new int[numRanks];
      for (int rank = 0; rank < numRanks; rank++) {
        tokens[rank] = nodes.nodeOf(rank) == empty ? 0 : 13;
      }
      GlobalInput input = Inputs.draw(random, shape, tokens);
      List<CombineRound> rounds =
          List.of(
              round(nodes, input, Form.rankMajor(), PLAIN.withBiases(1), random),
              round(nodes, input, Form.expertMajor(4).withHook(), PLAIN.withWeighting(), random),
              round(nodes, input, Form.rankMajor().bounded(0), PLAIN.withWeightsBack(), random));
      RankEnd.run(
          numRanks,
          nodes.of(Scenarios.options(input.numExperts(), HIDDEN)),
          end -> {
            for (CombineRound round : rounds) {
              try (DispatchHandle handle = end.dispatchAndCheck(round.dispatch)) {
                end.combineAndCheck(round, handle);
              }
            }
          });
    }
  }

  private static CombineRound round(
      Nodes nodes,
      GlobalInput input,
      Form dispatch,
      CombineRound.Form combine,
      SplittableRandom random) {
    Round round = new Round(input, dispatch, Payload.bf16(input), nodes.ranksPerNode());
    return new CombineRound(round, combine, HIDDEN, random);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource(NODES)
  void shouldThrowOnEveryRankAndGoOn_whenOneRankIsOverByOne(Nodes nodes) {
    SplittableRandom random = new SplittableRandom(440 + nodes.hashCode());
    int numRanks = nodes.numRanks();
    int full = numRanks - 1;
    var shape = new Inputs.Shape(numRanks, 2 * numRanks, 4, HIDDEN, RoutingShape.UNIFORM);
    int[] tokens = new int[numRanks];
    Arrays.fill(tokens, 13);
    GlobalInput input = Inputs.draw(random, shape, tokens);
    Arrays.fill(tokens, 2);
    GlobalInput small = Inputs.draw(random, shape, tokens);
    Round tooBig = round(nodes, input, Form.rankMajor(), PLAIN, random).dispatch;
    CombineRound fitting = round(nodes, small, Form.rankMajor(), PLAIN.withBiases(1), random);
    int needed = tooBig.received.get(full).numReceived();
    BufferOptions options = nodes.of(Scenarios.options(input.numExperts(), HIDDEN));
    LocalGroup.run(
        numRanks,
        group ->
            RankEnd.run(
                group,
                group.rank() == full ? options.receiveCapacityRows(needed - 1) : options,
                end -> {
                  for (int i = 0; i < 3; i++) {
                    try (HostTensors memory = new HostTensors()) {
                      assertThatThrownBy(() -> end.dispatch(tooBig, memory))
                          .isInstanceOfSatisfying(
                              EpCapacityException.class,
                              e -> assertThat(e.fullRank()).isEqualTo(full));
                    }
                    try (DispatchHandle handle = end.dispatchAndCheck(fitting.dispatch)) {
                      end.combineAndCheck(fitting, handle);
                    }
                  }
                }));
  }

  /** And with it what crosses the network by way of it. */
  @ParameterizedTest
  @EnumSource(RowOrder.class)
  void shouldLeaveARankOut_whenItIsMasked(RowOrder order) {
    goOnWithout(order, new Nodes(2, 2), Set.of(3));
    goOnWithout(order, new Nodes(3, 2), Set.of(0));
  }

  @ParameterizedTest
  @EnumSource(RowOrder.class)
  void shouldLeaveANodeOut_whenAllItsRanksAreMasked(RowOrder order) {
    goOnWithout(order, new Nodes(3, 2), Set.of(2, 3));
  }

  /** Ranks are lost between a dispatch and its combines, and a cached dispatch. */
  private static void goOnWithout(RowOrder order, Nodes nodes, Set<Integer> masked) {
    SplittableRandom random = new SplittableRandom(450 + nodes.hashCode());
    int numRanks = nodes.numRanks();
    var shape = new Inputs.Shape(numRanks, 2 * numRanks, 5, HIDDEN, RoutingShape.UNIFORM);
    int[] tokens = new int[numRanks];
    Arrays.fill(tokens, 13);
    GlobalInput input = Inputs.draw(random, shape, tokens);
    boolean rankMajor = order == RowOrder.RANK_MAJOR;
    Form form = rankMajor ? Form.rankMajor() : Form.expertMajor(2);
    Round round = new Round(input, form, Payload.bf16(input), nodes.ranksPerNode());
    CombineRound.Form biased = PLAIN.withBiases(2);
    List<CombineRound> combines =
        List.of(
            new CombineRound(round, biased, HIDDEN, random, masked),
            new CombineRound(round, biased.withWeightsBack().inPlace(), HIDDEN, random, masked),
            new CombineRound(
                round, rankMajor ? PLAIN : PLAIN.withWeighting(), HIDDEN, random, masked));
    CountDownLatch all = new CountDownLatch(numRanks);
    BufferRanks.run(
        numRanks,
        nodes.of(Scenarios.options(input.numExperts(), HIDDEN)),
        my -> {
          RankEnd end = new RankEnd(my.rank, my.buffer);
          try (DispatchHandle handle = end.dispatchAndCheck(round)) {
            all.countDown();
            all.await();
            if (masked.contains(my.rank)) {
              my.awaitOthers(masked.size());
              return;
            }
            masked.forEach(my.buffer::mask);
            for (CombineRound combine : combines) {
              end.combineAndCheck(combine, handle);
            }
            try (HostTensors memory = new HostTensors();
                DispatchResult again = end.dispatchCached(round, round.payload, handle, memory)) {
              checkRows(again, round, my.rank, nodes, masked);
            }
          }
        });
  }

  /** Rows of lost ranks, and those that would have come by way of them, are zero. */
  private static void checkRows(
      DispatchResult result, Round round, int rank, Nodes nodes, Set<Integer> masked) {
    short[] rows = TestDevice.read(result.x(), Tensor::toShorts);
    List<RowOrigin> origins = round.received.get(rank).rows;
    int lost = 0;
    for (int row = 0; row < origins.size(); row++) {
      RowOrigin origin = origins.get(row);
      if (origin.isPadding()) {
        continue;
      }
      int source = origin.sourceRank();
      int proxy = nodes.nodeOf(rank) * nodes.ranksPerNode() + source % nodes.ranksPerNode();
      boolean comes = !masked.contains(source) && !masked.contains(proxy);
      lost += comes ? 0 : 1;
      assertThat(Arrays.copyOfRange(rows, row * HIDDEN, (row + 1) * HIDDEN))
          .as("row %d of rank %d, from rank %d by rank %d", row, rank, source, proxy)
          .isEqualTo(
              comes ? round.input.rank(source).x()[origin.sourceToken()] : new short[HIDDEN]);
    }
    assertThat(lost).isPositive().isLessThan(origins.size());
  }

  @Tag("nodes-cpu")
  @ParameterizedTest(name = "{0}")
  @MethodSource(NODES)
  void shouldNotNoticeTheNodes_whenLowLatency(Nodes nodes) {
    SplittableRandom random = new SplittableRandom(460 + nodes.hashCode());
    var shape = new LowLatencyOracle.Shape(nodes.numRanks(), 2 * nodes.numRanks(), 7, 128, 3);
    LowLatencyRound round = LowLatencyRound.of(shape, LowLatencyRound.Routing.SPREAD, random);
    BufferOptions options =
        BufferOptions.of(shape.numExperts(), shape.hidden(), shape.maxTokens()).maxTopk(3);
    LowLatencyGroup.run(
        nodes.numRanks(),
        nodes.of(options.lowLatency()),
        member -> {
          try (var rows = member.rank().dispatch(round, LowLatencyDispatchOptions.defaults());
              var sums =
                  member
                      .rank()
                      .combine(round, rows.handle(), LowLatencyCombineOptions.defaults())) {
            member.rank().checkDispatch(round, rows, null);
            member.rank().checkCombine(round, sums, false);
          }
          assertThat(member.buffer().statistics().network())
              .containsOnly(new Statistics.Node(0, 0, 0, 0));
        });
  }
}
