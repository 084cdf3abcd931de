package io.github.deepep4j.normal;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/**
 * Rounds of any form, each a dispatch, a cached dispatch over its handle and two combines, drawn
 * from a seed: ranks that are processes draw the same ones, each for itself.
 */
public final class MixedForms {
  private final List<Step> steps = new ArrayList<>();

  /** A dispatch, two combines of it, and the rows of a cached dispatch. */
  record Step(Round dispatch, CombineRound first, CombineRound second, Payload cached) {}

  /**
   * Draws the rounds.
   *
   * @param random what they follow from
   * @param numRanks n
   * @param options of the buffer, with what {@link #options} allows
   * @param rounds how many
   */
  public MixedForms(SplittableRandom random, int numRanks, BufferOptions options, int rounds) {
    for (int i = 0; i < rounds; i++) {
      GlobalInput input = Scenarios.input(random, numRanks, options.numExperts(), options.hidden());
      Form form = Form.draw(random);
      int ranksPerNode = options.ranksPerNode() == 0 ? numRanks : options.ranksPerNode();
      Round round = new Round(input, form, Payload.draw(input, random), ranksPerNode);
      steps.add(
          new Step(
              round,
              combineOfAnyForm(round, random),
              combineOfAnyForm(round, random),
              Payload.draw(input, random)));
    }
  }

  /** Options of a buffer that the rounds fit. */
  public static BufferOptions options(int numExperts, int hidden) {
    return Scenarios.options(numExperts, hidden);
  }

  /** Memory of the buffer has the dispatch's width, and exists if the buffer is as wide. */
  private static CombineRound combineOfAnyForm(Round round, SplittableRandom random) {
    CombineRound.Form form = CombineRound.Form.draw(random, round.form);
    int width = round.input.hidden();
    if (form.zeroCopy() && round.payload.hidden <= width) {
      return new CombineRound(round, form, round.payload.hidden, random);
    }
    return new CombineRound(round, form.withStaging(), width, random);
  }

  /** Runs one rank's part of all rounds and checks every byte. */
  public void run(Buffer buffer, int rank) {
    RankEnd end = new RankEnd(rank, buffer);
    for (Step step : steps) {
      run(end, step);
    }
  }

  static void run(RankEnd end, Step step) {
    try (HostTensors memory = new HostTensors();
        DispatchHandle handle = end.dispatchAndCheck(step.dispatch());
        DispatchResult cached = end.dispatchCached(step.dispatch(), step.cached(), handle, memory);
        CombineResult first = end.combine(step.first(), handle, memory);
        CombineResult second = end.combine(step.second(), handle, memory)) {
      end.check(step.second(), second);
      end.checkCached(step.dispatch(), step.cached(), cached);
      end.check(step.first(), first);
    }
  }
}
