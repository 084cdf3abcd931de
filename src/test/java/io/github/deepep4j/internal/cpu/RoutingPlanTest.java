package io.github.deepep4j.internal.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.reference.ReferenceDispatch;
import io.github.deepep4j.reference.ReferenceLayout;
import io.github.deepep4j.reference.RowOrigin;
import io.github.deepep4j.tensor.DType;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Sources' plans and destinations' plans of random routings: together they place every row. */
final class RoutingPlanTest {
  private static final String SEEDS = "io.github.deepep4j.fixtures.Seeds#few";

  private static GlobalInput input(SplittableRandom random) {
    int numRanks = 1 + random.nextInt(9);
    Inputs.Shape shape =
        new Inputs.Shape(
            numRanks,
            numRanks * (1 + random.nextInt(6)),
            Inputs.awkwardTopk(random),
            8,
            Inputs.any(random, RoutingShape.values()));
    return Inputs.draw(random, shape, Inputs.awkwardTokens(random, numRanks, 40));
  }

  private static RoutingPlan plan(GlobalInput input, int rank, boolean perRank) {
    try (HostTensors memory = new HostTensors()) {
      var topkIdx = memory.indices(input.rank(rank).topkIdx(), input.numTopk(), DType.INT64);
      return perRank
          ? RoutingPlan.perRank(topkIdx, input.numExperts(), input.numRanks())
          : RoutingPlan.perExpert(topkIdx, input.numExperts(), input.numRanks());
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource(SEEDS)
  void shouldCountAndNumberRows_whenRoutingIsRandom(long seed) {
    GlobalInput input = input(new SplittableRandom(seed));
    for (int rank = 0; rank < input.numRanks(); rank++) {
      ReferenceLayout expected = new ReferenceLayout(input, rank);
      for (boolean perRank : new boolean[] {true, false}) {
        RoutingPlan plan = plan(input, rank, perRank);
        assertThat(plan.refusal).isNull();
        assertThat(plan.tokensPerRank).isEqualTo(expected.numTokensPerRank);
        assertThat(plan.tokensPerExpert).isEqualTo(expected.numTokensPerExpert);
      }
      checkOrdinals(plan(input, rank, true), input.numRanks(), expected);
    }
  }

  /** Ordinals of each destination are 0, 1, 2, … in token order. */
  private static void checkOrdinals(RoutingPlan plan, int numRanks, ReferenceLayout expected) {
    int[] next = new int[numRanks];
    for (int token = 0; token < plan.numTokens; token++) {
      for (int rank = 0; rank < numRanks; rank++) {
        boolean sent = expected.isTokenInRank[token][rank] == 1;
        assertThat(plan.ordinals[token * numRanks + rank]).isEqualTo(sent ? next[rank]++ : -1);
      }
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource(SEEDS)
  void shouldPlaceEveryRowOnce_whenSourceAndDestinationAgree(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    GlobalInput input = input(random);
    int alignment = 1 + random.nextInt(20);
    for (boolean rankMajor : new boolean[] {true, false}) {
      RoutingPlan[] plans = new RoutingPlan[input.numRanks()];
      Arrays.setAll(plans, rank -> plan(input, rank, rankMajor));
      for (int destination = 0; destination < input.numRanks(); destination++) {
        checkPlaces(input, plans, destination, rankMajor, alignment);
      }
    }
  }

  private static void checkPlaces(
      GlobalInput input, RoutingPlan[] plans, int destination, boolean rankMajor, int alignment) {
    int localExperts = input.localExperts();
    Messages.Counts[] counts = new Messages.Counts[plans.length];
    for (int source = 0; source < plans.length; source++) {
      int first = destination * localExperts;
      counts[source] =
          new Messages.Counts(
              plans[source].tokensPerRank[destination],
              Arrays.copyOfRange(plans[source].tokensPerExpert, first, first + localExperts),
              null);
    }
    ReceivePlan plan = new ReceivePlan(counts, localExperts, rankMajor, alignment);
    ReferenceDispatch expected =
        rankMajor
            ? ReferenceDispatch.rankMajor(input, destination, alignment)
            : ReferenceDispatch.expertMajor(input, destination, alignment);
    assertThat(plan.numReceived).isEqualTo(expected.numReceived());
    assertThat(ReceivePlan.rows(counts, rankMajor, alignment)).isEqualTo(expected.numReceived());
    assertThat(plan.tokensPerExpert).isEqualTo(expected.tokensPerExpert);
    if (rankMajor) {
      assertThat(plan.rankPrefix()).isEqualTo(expected.rankPrefix);
    } else {
      assertThat(plan.expertOffsets).isEqualTo(expected.expertOffsets);
    }
    int[] owner = new int[plan.numReceived];
    Arrays.fill(owner, -1);
    for (int source = 0; source < plans.length; source++) {
      int from = source;
      plan.forRowsOf(source, (begin, end) -> Arrays.fill(owner, begin, end, from));
      int real = 0;
      for (RowOrigin row : expected.rows) {
        real += row.sourceRank() == source ? 1 : 0;
      }
      assertThat(plan.realRowsOf(source)).isEqualTo(real);
    }
    boolean[] padding = new boolean[plan.numReceived];
    plan.forPadding((begin, end) -> Arrays.fill(padding, begin, end, true));
    for (int row = 0; row < owner.length; row++) {
      assertThat(owner[row])
          .as("source of row %s", row)
          .isEqualTo(expected.rows.get(row).sourceRank());
      assertThat(padding[row])
          .as("padding row %s", row)
          .isEqualTo(expected.rows.get(row).isPadding());
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource(SEEDS)
  void shouldNotOverflow_whenRankMajorCountsAreRoundedUpFar(long seed) {
    GlobalInput input = input(new SplittableRandom(seed));
    int localExperts = input.localExperts();
    int[] ones = new int[localExperts];
    Arrays.fill(ones, 1);
    Messages.Counts[] counts = {new Messages.Counts(1, ones, null)};
    ReceivePlan plan = new ReceivePlan(counts, localExperts, true, Integer.MAX_VALUE);
    assertThat(plan.numReceived).isEqualTo(1);
    assertThat(plan.tokensPerExpert).containsOnly(Integer.MAX_VALUE);
  }
}
