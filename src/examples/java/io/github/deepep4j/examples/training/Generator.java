package io.github.deepep4j.examples.training;

import java.util.Arrays;
import java.util.SplittableRandom;

/** Lets a trained model continue a prompt, one character at a time, on every rank at once. */
final class Generator {
  /** Below 1: likelier characters come more often than the model says, which reads better. */
  private static final double TEMPERATURE = 0.6;

  private final CharModel model;
  private final int context;
  private final SplittableRandom random;

  Generator(CharModel model, int context, long seed) {
    this.model = model;
    this.context = context;
    this.random = new SplittableRandom(seed);
  }

  /**
   * Continues a prompt of {@code context} characters. Collective: every rank generates a text of
   * its own, and they must ask for the same length.
   *
   * @return prompt and continuation
   */
  int[] generate(int[] prompt, int length) {
    int[] text = Arrays.copyOf(prompt, prompt.length + length);
    for (int next = prompt.length; next < text.length; next++) {
      int[][] contexts = {Arrays.copyOfRange(text, next - context, next)};
      text[next] = draw(model.generate(contexts)[0]);
    }
    return text;
  }

  private int draw(float[] logits) {
    float[] probabilities = new float[logits.length];
    float[] sharpened = logits.clone();
    for (int i = 0; i < sharpened.length; i++) {
      sharpened[i] /= (float) TEMPERATURE;
    }
    Softmax.of(sharpened, probabilities);
    double rest = random.nextDouble();
    for (int i = 0; i < probabilities.length; i++) {
      rest -= probabilities[i];
      if (rest < 0) {
        return i;
      }
    }
    return probabilities.length - 1;
  }
}
