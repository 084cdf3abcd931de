package io.github.deepep4j.examples.training;

/** Softmax of one row, the same to the bit on every machine. */
final class Softmax {
  private Softmax() {}

  /** Writes the probabilities and returns the logarithm of the normaliser. */
  static double of(float[] logits, float[] probabilities) {
    float largest = logits[0];
    for (float logit : logits) {
      largest = Math.max(largest, logit);
    }
    double sum = 0;
    for (int i = 0; i < logits.length; i++) {
      double exp = StrictMath.exp(logits[i] - largest);
      probabilities[i] = (float) exp;
      sum += exp;
    }
    float scale = (float) (1 / sum);
    for (int i = 0; i < probabilities.length; i++) {
      probabilities[i] *= scale;
    }
    return StrictMath.log(sum) + largest;
  }
}
