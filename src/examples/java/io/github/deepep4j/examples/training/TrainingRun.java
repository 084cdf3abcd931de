package io.github.deepep4j.examples.training;

import java.util.List;

/**
 * What one training has given, the same on every rank.
 *
 * @param ranks number of ranks
 * @param losses mean loss of each step, in nats per character
 * @param load {@code [steps][layers][experts]}, tokens that each expert got
 * @param tokensPerSecond over all ranks
 * @param seconds time of the training loop on rank 0
 * @param shares where the ranks' time went
 * @param samples generated text, one per rank; empty if none was asked for
 * @param weights number of weights of the whole model
 */
record TrainingRun(
    int ranks,
    double[] losses,
    int[][][] load,
    double tokensPerSecond,
    double seconds,
    Shares shares,
    List<Sample> samples,
    int weights) {

  /**
   * Parts of the training loop's time, as means over the ranks.
   *
   * @param dispatch inside dispatch calls, waiting for other ranks included
   * @param combine inside combine calls, waiting included
   * @param waiting the part of both that was waiting for other ranks
   */
  record Shares(double dispatch, double combine, double waiting) {}

  /**
   * A generated text.
   *
   * @param prompt what it was started with
   * @param continuation what the model wrote
   */
  record Sample(String prompt, String continuation) {}

  double firstLoss() {
    return losses[0];
  }

  double lastLoss() {
    return losses[losses.length - 1];
  }
}
