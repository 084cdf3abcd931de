package io.github.deepep4j.examples.training;

import java.util.Arrays;

/**
 * A matrix that training changes, with its gradient and Adam's moments. Weights that every rank has
 * a copy of collect one partial gradient per shard, which {@link DenseGradients} sums over all
 * shards in shard order; an expert's weights live on one rank, see all its rows there, and have a
 * single part that is the gradient.
 */
final class Parameter {
  private static final float BETA1 = 0.9f;
  private static final float BETA2 = 0.99f;
  private static final float EPSILON = 1e-8f;

  private final String name;
  private final float[][] value;
  private final float[][] gradient;
  private final float[][][] parts;
  private final float[][] firstMoment;
  private final float[][] secondMoment;

  Parameter(String name, float[][] value, int numParts) {
    this.name = name;
    this.value = value;
    int columns = value[0].length;
    this.parts = new float[numParts][value.length][columns];
    this.gradient = numParts == 1 ? parts[0] : new float[value.length][columns];
    this.firstMoment = new float[value.length][columns];
    this.secondMoment = new float[value.length][columns];
  }

  String name() {
    return name;
  }

  /** {@code [in][out]}. */
  float[][] value() {
    return value;
  }

  /** Sum of all parts of all ranks once exchanged: what the optimizer uses. */
  float[][] gradient() {
    return gradient;
  }

  /** The partial gradient of the rank's i-th shard; an expert has only part 0. */
  float[][] part(int i) {
    return parts[i];
  }

  int numElements() {
    return value.length * value[0].length;
  }

  void zeroParts() {
    for (float[][] part : parts) {
      for (float[] row : part) {
        Arrays.fill(row, 0);
      }
    }
  }

  /** One step of Adam; the bias corrections are those of the step's number. */
  void update(float learningRate, float correction1, float correction2) {
    for (int r = 0; r < value.length; r++) {
      float[] v = value[r];
      float[] g = gradient[r];
      float[] m = firstMoment[r];
      float[] s = secondMoment[r];
      for (int i = 0; i < v.length; i++) {
        m[i] = BETA1 * m[i] + (1 - BETA1) * g[i];
        s[i] = BETA2 * s[i] + (1 - BETA2) * (g[i] * g[i]);
        float scale = (float) Math.sqrt(s[i] * correction2) + EPSILON;
        v[i] -= learningRate * (m[i] * correction1) / scale;
      }
    }
  }

  /** The factor that takes the start at zero out of the first moment, at step 1, 2, ... */
  static float correction1(int step) {
    return (float) (1 / (1 - StrictMath.pow(BETA1, step)));
  }

  /** The factor that takes the start at zero out of the second moment. */
  static float correction2(int step) {
    return (float) (1 / (1 - StrictMath.pow(BETA2, step)));
  }
}
