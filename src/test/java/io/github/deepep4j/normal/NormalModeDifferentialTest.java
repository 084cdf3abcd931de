package io.github.deepep4j.normal;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.tensor.DType;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Every form of normal mode on 1 to 8 ranks, each over several seeded inputs on one buffer, so that
 * regions are used again with what an earlier round left in them.
 */
class NormalModeDifferentialTest {
  private static final int ROUNDS = 8;

  static IntStream rankCounts() {
    return IntStream.of(1, 2, 3, 4, 7, 8);
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource("rankCounts")
  void shouldDeliverEveryRow_whenRankMajorAndExact(int numRanks) {
    dispatches(numRanks, 101, random -> Form.rankMajor().withAlignment(1 + random.nextInt(9)));
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource("rankCounts")
  void shouldDeliverEveryRow_whenIndicesAreInt32(int numRanks) {
    dispatches(numRanks, 102, random -> Form.rankMajor().withIndices(DType.INT32));
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource("rankCounts")
  void shouldHaveNoWeights_whenNoneWereGiven(int numRanks) {
    dispatches(
        numRanks,
        103,
        random -> (random.nextBoolean() ? Form.rankMajor() : Form.expertMajor(2)).withoutWeights());
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource("rankCounts")
  void shouldDeliverGroups_whenExpertMajor(int numRanks) {
    dispatches(
        numRanks, 104, random -> Form.expertMajor(1 + random.nextInt(Scenarios.MOST_ALIGNMENT)));
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource("rankCounts")
  void shouldZeroThePadding_whenZeroFilled(int numRanks) {
    dispatches(numRanks, 105, random -> Form.expertMajor(8).withZeroFill());
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource("rankCounts")
  void shouldMarkTheRest_whenBounded(int numRanks) {
    dispatches(
        numRanks,
        106,
        random ->
            (random.nextBoolean() ? Form.rankMajor() : Form.expertMajor(4).withZeroFill())
                .bounded(random.nextInt(3)));
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource("rankCounts")
  void shouldCopyTheResult_whenOwned(int numRanks) {
    dispatches(
        numRanks,
        107,
        random ->
            (random.nextBoolean() ? Form.rankMajor() : Form.expertMajor(4))
                .owned(random.nextBoolean() ? Form.Owner.INTO : Form.Owner.ALLOCATOR)
                .bounded(random.nextInt(4) - 1));
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource("rankCounts")
  void shouldForwardScalesUntouched_whenFp8(int numRanks) {
    rounds(
        numRanks,
        108,
        random -> random.nextBoolean() ? Form.rankMajor() : Form.expertMajor(4).withZeroFill(),
        (input, random) ->
            Payload.fp8(
                input,
                random.nextBoolean() || input.hidden() % 16 != 0
                    ? 2 * input.hidden()
                    : input.hidden(),
                new int[] {0, 1, 3, 8}[random.nextInt(4)],
                random.nextBoolean(),
                random),
        64);
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource("rankCounts")
  void shouldCastOnTheWayOut_whenQuantized(int numRanks) {
    for (Quantization quantization : Quantization.values()) {
      rounds(
          numRanks,
          109,
          random -> random.nextBoolean() ? Form.rankMajor() : Form.expertMajor(4).withZeroFill(),
          (input, random) -> Payload.cast(input, input.hidden(), quantization, random),
          128 * numRanks);
    }
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource("rankCounts")
  void shouldDeliverTheSamePlaces_whenCached(int numRanks) {
    SplittableRandom random = new SplittableRandom(110 + numRanks);
    int numExperts = Scenarios.numExperts(random, numRanks);
    int hidden = 264;
    List<Round> rounds = new ArrayList<>();
    List<Payload> payloads = new ArrayList<>();
    for (int i = 0; i < ROUNDS; i++) {
      Form form = random.nextBoolean() ? Form.rankMajor() : Form.expertMajor(4).withZeroFill();
      form = i == 1 ? form.owned(Form.Owner.INTO) : i == 2 ? form.withHook() : form;
      form = random.nextBoolean() ? form.bounded(1) : form;
      GlobalInput input = Scenarios.input(random, numRanks, numExperts, hidden);
      rounds.add(new Round(input, form, Payload.bf16(input)));
      payloads.add(
          switch (i) {
            case 0 -> Payload.anyBits(input, 56, random);
            case 1 -> Payload.fp8(input, 528, 3, true, random);
            case 2 -> Payload.cast(input, 256, Quantization.UE8M0, random);
            case 3 -> Payload.bf16(input);
            default -> Payload.draw(input, random);
          });
    }
    RankEnd.run(
        numRanks,
        Scenarios.options(numExperts, hidden),
        end -> {
          for (int i = 0; i < ROUNDS; i++) {
            Round round = rounds.get(i);
            try (HostTensors memory = new HostTensors();
                DispatchHandle handle = end.dispatchAndCheck(round);
                DispatchResult first = end.dispatchCached(round, payloads.get(i), handle, memory);
                DispatchResult second = end.dispatchCached(round, round.payload, handle, memory)) {
              end.checkCached(round, round.payload, second);
              end.checkCached(round, payloads.get(i), first);
            }
          }
        });
  }

  /** Dispatches in this form, BF16 rows. */
  private static void dispatches(int numRanks, long seed, Function<SplittableRandom, Form> form) {
    rounds(numRanks, seed, form, (input, random) -> Payload.bf16(input), 0);
  }

  /** Draws a round's rows. */
  private interface Rows {
    Payload draw(GlobalInput input, SplittableRandom random);
  }

  /** Several rounds on one buffer; a hidden size of 0 is drawn. */
  private static void rounds(
      int numRanks, long seed, Function<SplittableRandom, Form> form, Rows rows, int hidden) {
    SplittableRandom random = new SplittableRandom(seed * 31 + numRanks);
    int numExperts = Scenarios.numExperts(random, numRanks);
    int width = hidden > 0 ? hidden : Scenarios.hidden(random);
    List<Round> rounds = new ArrayList<>();
    for (int i = 0; i < ROUNDS; i++) {
      GlobalInput input = Scenarios.input(random, numRanks, numExperts, width);
      rounds.add(new Round(input, form.apply(random), rows.draw(input, random)));
    }
    BufferOptions options = Scenarios.options(numExperts, width);
    RankEnd.run(
        numRanks,
        options,
        end -> {
          for (Round round : rounds) {
            end.dispatchAndCheck(round).close();
          }
        });
  }
}
