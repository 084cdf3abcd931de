package io.github.deepep4j.normal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.error.EpCapacityException;
import io.github.deepep4j.fixtures.Expect;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RankInput;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Exactly full, and over it by one row. */
class CapacityTest {
  private static final int NUM_RANKS = 3;
  private static final int FULL_RANK = 1;
  private static final int HIDDEN = 56;

  private final SplittableRandom random = new SplittableRandom(88);
  private final GlobalInput input =
      Inputs.draw(
          random, new Inputs.Shape(NUM_RANKS, 6, 4, HIDDEN, RoutingShape.UNIFORM), 13, 0, 21);
  private final GlobalInput small =
      Inputs.draw(random, new Inputs.Shape(NUM_RANKS, 6, 4, HIDDEN, RoutingShape.HOLES), 3, 1, 0);

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource("io.github.deepep4j.normal.NormalModeDifferentialTest#rankCounts")
  void shouldFit_whenEveryTokenGoesToEveryExpert(int numRanks) {
    int numTokens = 13;
    int numExperts = 2 * numRanks;
    int[] tokens = new int[numRanks];
    Arrays.fill(tokens, numTokens);
    GlobalInput full =
        Inputs.draw(
            random,
            new Inputs.Shape(numRanks, numExperts, numExperts, 8, RoutingShape.UNIFORM),
            tokens);
    BufferOptions options =
        BufferOptions.of(numExperts, 8, numTokens)
            .maxTopk(numExperts)
            .expertMajor()
            .maxExpertAlignment(1);
    List<Form> forms =
        List.of(
            Form.rankMajor(),
            Form.expertMajor(1),
            Form.rankMajor().bounded(0),
            Form.expertMajor(1).bounded(0));
    List<CombineRound> rounds =
        forms.stream()
            .map(
                form ->
                    new CombineRound(
                        new Round(full, form, Payload.bf16(full)),
                        CombineRound.Form.plain().withWeightsBack(),
                        8,
                        random))
            .toList();
    RankEnd.run(
        numRanks,
        options,
        end -> {
          for (CombineRound round : rounds) {
            try (DispatchHandle handle = end.dispatchAndCheck(round.dispatch)) {
              end.combineAndCheck(round, handle);
            }
          }
        });
  }

  @ParameterizedTest
  @EnumSource(io.github.deepep4j.RowOrder.class)
  void shouldThrowOnEveryRankAndGoOn_whenOneRankIsOverByOne(io.github.deepep4j.RowOrder order) {
    boolean rankMajor = order == io.github.deepep4j.RowOrder.RANK_MAJOR;
    Form form = rankMajor ? Form.rankMajor() : Form.expertMajor(4);
    Round tooBig = new Round(input, form, Payload.bf16(input));
    Round fitting = new Round(small, form, Payload.bf16(small));
    int needed = tooBig.received.get(FULL_RANK).numReceived();
    runWithCapacity(
        needed - 1,
        end -> {
          for (int i = 0; i < 5; i++) {
            try (HostTensors memory = new HostTensors()) {
              Tensor x = tooBig.payload.x(end.rank, memory);
              assertThatThrownBy(() -> end.dispatch(tooBig, memory))
                  .isInstanceOfSatisfying(
                      EpCapacityException.class, e -> checkError(e, needed, needed - 1));
              Expect.bf16("input", input.rank(end.rank).x(), HIDDEN, x);
            }
            end.dispatchAndCheck(fitting).close();
          }
          assertThat(end.buffer.statistics().openResults()).isZero();
          assertThat(end.buffer.statistics().openHandles()).isZero();
        });
    runWithCapacity(needed, end -> end.dispatchAndCheck(tooBig).close());
  }

  @Test
  void shouldKeepTheInputs_whenACallIsOverCapacity() {
    RankInput[] inputs = input.ranks().toArray(RankInput[]::new);
    int needed =
        new Round(input, Form.rankMajor(), Payload.bf16(input))
            .received
            .get(FULL_RANK)
            .numReceived();
    runWithCapacity(
        needed - 1,
        end -> {
          try (HostTensors memory = new HostTensors()) {
            RankInput mine = inputs[end.rank];
            Tensor x = memory.bf16(mine.x(), HIDDEN);
            Tensor topkIdx = memory.indices(mine.topkIdx(), 4, DType.INT64);
            Tensor weights = memory.floats(mine.topkWeights(), 4);
            assertThatThrownBy(() -> end.buffer.dispatch(x, topkIdx, weights))
                .isInstanceOf(EpCapacityException.class);
            Expect.bf16("x", mine.x(), HIDDEN, x);
            Expect.indices("topkIdx", mine.topkIdx(), 4, DType.INT64, topkIdx);
            Expect.floats("weights", mine.topkWeights(), 4, weights);
          }
        });
  }

  @ParameterizedTest
  @EnumSource(io.github.deepep4j.RowOrder.class)
  void shouldBeEmptyAndThrowAtTheNextCall_whenBounded(io.github.deepep4j.RowOrder order) {
    boolean rankMajor = order == io.github.deepep4j.RowOrder.RANK_MAJOR;
    Form form = rankMajor ? Form.rankMajor() : Form.expertMajor(1);
    Round round = new Round(input, form, Payload.bf16(input));
    Round fitting = new Round(small, form.bounded(1), Payload.bf16(small));
    int needed = round.received.get(FULL_RANK).numReceived();
    RankEnd.run(
        NUM_RANKS,
        Scenarios.options(6, HIDDEN),
        end -> {
          for (int i = 0; i < 4; i++) {
            int bound = round.received.get(end.rank).numReceived();
            bound = end.rank == FULL_RANK ? bound - 1 : bound;
            try (HostTensors memory = new HostTensors();
                DispatchResult dropped = boundedDispatch(end, rankMajor, bound, memory);
                DispatchHandle handle = dropped.handle()) {
              checkEmpty(dropped, rankMajor, bound);
              // Reported once, by whatever comes next: on some ranks check(), on others a call.
              if ((end.rank + i) % 2 == 0) {
                assertThatThrownBy(end.buffer::check)
                    .isInstanceOfSatisfying(
                        EpCapacityException.class, e -> checkError(e, needed, needed - 1));
                end.buffer.check();
              } else {
                assertThatThrownBy(() -> end.dispatch(fitting, memory))
                    .isInstanceOfSatisfying(
                        EpCapacityException.class, e -> checkError(e, needed, needed - 1));
              }
              Tensor y = memory.garbage(DType.BF16, bound, HIDDEN);
              try (CombineResult sums = end.buffer.combine(y, handle)) {
                short[][] zeros = new short[input.rank(end.rank).numTokens()][HIDDEN];
                Expect.bf16("sums of a dropped dispatch", zeros, HIDDEN, sums.combined());
              }
            }
            end.dispatchAndCheck(fitting).close();
          }
        });
  }

  private DispatchResult boundedDispatch(
      RankEnd end, boolean rankMajor, int bound, HostTensors memory) {
    RankInput mine = input.rank(end.rank);
    DispatchOptions options = DispatchOptions.defaults().maxReceivedTokens(bound);
    return end.buffer.dispatch(
        memory.bf16(mine.x(), HIDDEN),
        memory.indices(mine.topkIdx(), 4, DType.INT64),
        memory.floats(mine.topkWeights(), 4),
        rankMajor ? options : options.expertMajor(1));
  }

  private static void checkEmpty(DispatchResult dropped, boolean rankMajor, int bound) {
    int[] none = new int[bound];
    Arrays.fill(none, -1);
    Expect.ints("rows", new int[] {0}, dropped.numReceivedTensor());
    Expect.ints("sourceToken", none, dropped.sourceToken());
    Expect.ints("tokensPerExpert", new int[2], dropped.tokensPerExpertTensor());
    if (rankMajor) {
      Expect.ints("rankPrefix", new int[NUM_RANKS], dropped.rankPrefix());
      long[] noChoice = new long[4 * bound];
      Arrays.fill(noChoice, -1);
      assertThat(TestDevice.read(dropped.topkIdx(), Tensor::toLongs)).isEqualTo(noChoice);
      assertThat(TestDevice.read(dropped.topkWeights(), Tensor::toFloats))
          .isEqualTo(new float[4 * bound]);
    } else {
      Expect.ints("sourceRank", none, dropped.sourceRank());
      Expect.ints("expertOffsets", new int[3], dropped.expertOffsets());
      assertThat(TestDevice.read(dropped.weight(), Tensor::toFloats)).isEqualTo(new float[bound]);
    }
  }

  private static void checkError(EpCapacityException e, long needed, long capacity) {
    assertThat(e.fullRank()).isEqualTo(FULL_RANK);
    assertThat(e.needed()).isEqualTo(needed);
    assertThat(e.capacity()).isEqualTo(capacity);
  }

  /** One rank has this capacity, the others plenty. */
  private static void runWithCapacity(int rows, RankEnd.Body body) {
    LocalGroup.run(
        NUM_RANKS,
        group -> {
          BufferOptions options = Scenarios.options(6, HIDDEN);
          RankEnd.run(
              group, group.rank() == FULL_RANK ? options.receiveCapacityRows(rows) : options, body);
        });
  }
}
