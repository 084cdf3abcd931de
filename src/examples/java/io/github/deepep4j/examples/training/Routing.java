package io.github.deepep4j.examples.training;

/**
 * Where a gate sends its tokens. Arrays are row-major.
 *
 * @param experts {@code [tokens, 2]}, the better one first
 * @param weights {@code [tokens, 2]}, which sum to 1 in each token
 * @param probabilities {@code [tokens][experts]}, over all experts
 */
record Routing(int[] experts, float[] weights, float[][] probabilities) {
  /** Experts per token. */
  static final int TOPK = 2;

  int numTokens() {
    return probabilities.length;
  }
}
