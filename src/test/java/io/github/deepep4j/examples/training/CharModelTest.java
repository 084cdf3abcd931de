package io.github.deepep4j.examples.training;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.group.LocalGroup;
import java.util.Arrays;
import org.assertj.core.data.Percentage;
import org.junit.jupiter.api.Test;

/** The whole model's gradient, parameter by parameter. */
final class CharModelTest {
  private static final int TOKENS = 2000;
  private static final double STEP = 0.05;

  /**
   * Moves each parameter a little along its gradient g: the loss must change by step · |g|. One
   * direction and not one element, since the loss carries the noise of BF16 rows; and two experts,
   * so that no change of the gate's choice makes the loss jump.
   */
  @Test
  void shouldChangeTheLossAsTheGradientSays_whenAParameterMovesAlongIt() {
    Corpus corpus = Corpus.of("a test", TestText.of(5000), 1);
    Shards shards = Shards.ofRank(1, TOKENS, 0, 1);
    ModelShape shape = new ModelShape(corpus.vocabularySize(), 6, 8, 32, 2, 2, 32, 0);
    try (LocalGroup group = LocalGroup.create(1).get(0);
        Buffer buffer = buffer(group, shape)) {
      var store = new ParameterStore(3, 1);
      var experts = new CharModel.Experts(buffer, 0, shape.experts(), new CommunicationClock());
      CharModel model = new CharModel(shape, shards, store, experts);
      Batch batch = corpus.batch(shards, shape.context(), 3, 0);
      model.forward(batch);
      model.backward(batch);
      for (Parameter parameter : store.all()) {
        check(model, batch, parameter);
      }
    }
  }

  private static Buffer buffer(LocalGroup group, ModelShape shape) {
    return Buffer.create(
        group, BufferOptions.of(shape.experts(), shape.hidden(), TOKENS).expertMajor());
  }

  private static void check(CharModel model, Batch batch, Parameter parameter) {
    double norm = 0;
    for (float[] row : parameter.gradient()) {
      norm += RowMath.dot(row, row);
    }
    norm = Math.sqrt(norm);
    double change =
        (loss(model, batch, parameter, STEP / norm) - loss(model, batch, parameter, -STEP / norm));
    assertThat(change / (2 * STEP))
        .as(parameter.name())
        .isCloseTo(norm, Percentage.withPercentage(4));
  }

  /** Mean loss with a parameter moved by a multiple of its gradient. */
  private static double loss(CharModel model, Batch batch, Parameter parameter, double factor) {
    float[][] value = parameter.value();
    float[][] before = Arrays.stream(value).map(float[]::clone).toArray(float[][]::new);
    for (int r = 0; r < value.length; r++) {
      RowMath.addScaled((float) factor, parameter.gradient()[r], value[r]);
    }
    double loss = model.forward(batch)[0] / TOKENS;
    System.arraycopy(before, 0, value, 0, value.length);
    return loss;
  }
}
