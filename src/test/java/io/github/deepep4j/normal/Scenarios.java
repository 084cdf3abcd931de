package io.github.deepep4j.normal;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RoutingShape;
import java.util.SplittableRandom;

/** Sizes that the differential tests draw from. */
final class Scenarios {
  static final int MOST_TOKENS = 32;
  static final int MOST_ALIGNMENT = 16;

  /** Rows that a bounded result may have beyond those that arrive, even if every token does. */
  private static final int MOST_SLACK = 8;

  private static final int[] HIDDEN = {8, 56, 128, 264, 8, 56, 128, 1024};

  private Scenarios() {}

  /** Experts that n ranks can share: one to five each. */
  static int numExperts(SplittableRandom random, int numRanks) {
    return numRanks * (1 + random.nextInt(5));
  }

  static int hidden(SplittableRandom random) {
    return HIDDEN[random.nextInt(HIDDEN.length)];
  }

  /** Inputs with an awkward K, awkward token counts and any routing. */
  static GlobalInput input(SplittableRandom random, int numRanks, int numExperts, int hidden) {
    RoutingShape routing = Inputs.any(random, RoutingShape.values());
    Inputs.Shape shape =
        new Inputs.Shape(numRanks, numExperts, Inputs.awkwardTopk(random), hidden, routing);
    return Inputs.draw(random, shape, Inputs.awkwardTokens(random, numRanks, MOST_TOKENS));
  }

  /** A buffer that any of these inputs fits, in any form. */
  static BufferOptions options(int numExperts, int hidden) {
    return BufferOptions.of(numExperts, hidden, MOST_TOKENS + MOST_SLACK)
        .maxTopk(BufferOptions.MAX_TOPK)
        .maxScalesPerRow(Math.max(8, hidden / 64))
        .expertMajor()
        .maxExpertAlignment(MOST_ALIGNMENT);
  }
}
