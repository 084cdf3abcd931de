package io.github.deepep4j.normal;

import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every form of the normal-mode combine on 1 to 8 ranks, every element of every sum. */
class CombineDifferentialTest {
  private static final String RANKS =
      "io.github.deepep4j.normal.NormalModeDifferentialTest#rankCounts";

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource(RANKS)
  void shouldSumInRankOrder_whenRankMajor(int numRanks) {
    CombineRound.Form form = CombineRound.Form.plain();
    combines(
        numRanks,
        201,
        Form.rankMajor(),
        List.of(form, form.withBiases(1), form.withBiases(2), form.withBiases(2).withInto()));
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource(RANKS)
  void shouldSumInTopkOrder_whenExpertMajor(int numRanks) {
    CombineRound.Form form = CombineRound.Form.plain();
    combines(
        numRanks,
        202,
        Form.expertMajor(8),
        List.of(form, form.withBiases(1), form.withBiases(2), form.withInto()));
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource(RANKS)
  void shouldMultiplyByTheGateWeights_whenWeighted(int numRanks) {
    CombineRound.Form form = CombineRound.Form.plain().withWeighting();
    combines(
        numRanks,
        203,
        Form.expertMajor(4),
        List.of(form, form.withBiases(1), form.withBiases(2).inPlace()));
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource(RANKS)
  void shouldBringWeightsBack_whenGiven(int numRanks) {
    CombineRound.Form form = CombineRound.Form.plain().withWeightsBack();
    combines(numRanks, 204, Form.rankMajor(), List.of(form, form.withBiases(1).inPlace()));
    combines(numRanks, 205, Form.expertMajor(4), List.of(form, form.withBiases(1).inPlace()));
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource(RANKS)
  void shouldReadInPlace_whenWrittenToTheCombineInput(int numRanks) {
    CombineRound.Form form = CombineRound.Form.plain().inPlace();
    combines(numRanks, 206, Form.rankMajor(), List.of(form, form.withInto(), form.withHook()));
    combines(
        numRanks, 207, Form.expertMajor(2).bounded(2), List.of(form, form.withBiases(2), form));
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource(RANKS)
  void shouldIgnoreTheRest_whenBounded(int numRanks) {
    CombineRound.Form form = CombineRound.Form.plain();
    combines(numRanks, 208, Form.rankMajor().bounded(3), List.of(form, form.withWeightsBack()));
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource(RANKS)
  void shouldSumAnotherWidth_whenHiddenDiffersFromTheDispatch(int numRanks) {
    SplittableRandom random = new SplittableRandom(209 + numRanks);
    int numExperts = Scenarios.numExperts(random, numRanks);
    GlobalInput input = Scenarios.input(random, numRanks, numExperts, 264);
    Round round = new Round(input, Form.rankMajor(), Payload.bf16(input));
    CombineRound narrow = new CombineRound(round, CombineRound.Form.plain(), 56, random);
    RankEnd.run(
        numRanks,
        Scenarios.options(numExperts, 264),
        end -> {
          try (DispatchHandle handle = end.dispatchAndCheck(round)) {
            end.combineAndCheck(narrow, handle);
          }
        });
  }

  @ParameterizedTest(name = "{0} ranks")
  @MethodSource(RANKS)
  void shouldReceiveInAnyOrder_whenTwoHooksAreOpen(int numRanks) {
    SplittableRandom random = new SplittableRandom(210 + numRanks);
    int numExperts = Scenarios.numExperts(random, numRanks);
    GlobalInput input = Scenarios.input(random, numRanks, numExperts, 56);
    Round round = new Round(input, Form.expertMajor(2), Payload.bf16(input));
    CombineRound.Form form = CombineRound.Form.plain().withHook();
    List<CombineRound> pairs = new ArrayList<>();
    for (int i = 0; i < 8; i++) {
      pairs.add(new CombineRound(round, i % 2 == 0 ? form : form.withWeighting(), 56, random));
    }
    RankEnd.run(
        numRanks,
        Scenarios.options(numExperts, 56),
        end -> {
          try (DispatchHandle handle = end.dispatchAndCheck(round)) {
            for (int i = 0; i < pairs.size(); i += 2) {
              try (HostTensors memory = new HostTensors();
                  CombineResult first = end.combine(pairs.get(i), handle, memory);
                  CombineResult second = end.combine(pairs.get(i + 1), handle, memory)) {
                // Ranks receive in different orders.
                if ((end.rank + i / 2) % 2 == 0) {
                  first.receive();
                }
                end.check(pairs.get(i + 1), second);
                end.check(pairs.get(i), first);
              }
            }
          }
        });
  }

  /** A few dispatches, each combined in every form. */
  private static void combines(
      int numRanks, long seed, Form dispatch, List<CombineRound.Form> forms) {
    SplittableRandom random = new SplittableRandom(seed * 31 + numRanks);
    int numExperts = Scenarios.numExperts(random, numRanks);
    int hidden = Scenarios.hidden(random);
    List<Round> rounds = new ArrayList<>();
    List<List<CombineRound>> combines = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      GlobalInput input = Scenarios.input(random, numRanks, numExperts, hidden);
      Round round = new Round(input, dispatch, Payload.bf16(input));
      rounds.add(round);
      combines.add(
          forms.stream().map(form -> new CombineRound(round, form, hidden, random)).toList());
    }
    RankEnd.run(
        numRanks,
        Scenarios.options(numExperts, hidden),
        end -> {
          for (int i = 0; i < rounds.size(); i++) {
            try (DispatchHandle handle = end.dispatchAndCheck(rounds.get(i))) {
              for (CombineRound combine : combines.get(i)) {
                end.combineAndCheck(combine, handle);
              }
            }
          }
        });
  }
}
