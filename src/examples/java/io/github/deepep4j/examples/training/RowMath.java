package io.github.deepep4j.examples.training;

import java.util.Arrays;

/**
 * Matrix products over rows. Each element of a result is summed in a fixed order that depends on
 * nothing but the operands' width (and, in {@link #addOuter}, on the rows summed over): not on how
 * many rows there are beside it. That is what makes results independent of the number of ranks.
 *
 * <p>Inner loops run over the elements of a row, each with its own sum, so the JIT may vectorise
 * them without changing a bit; four terms at a time, so that a row is loaded and stored once for
 * four multiplications.
 */
final class RowMath {
  private static final int UNROLL = 4;

  private RowMath() {}

  /** {@code y[r] = x[r] · w} for the rows from (inclusive) to (exclusive); w is [in][out]. */
  static void multiply(float[][] x, float[][] w, float[][] y, int from, int to) {
    for (int r = from; r < to; r++) {
      Arrays.fill(y[r], 0);
      addProduct(x[r], w, y[r]);
    }
  }

  /** {@code y += x · w}. */
  static void addProduct(float[] x, float[][] w, float[] y) {
    int i = 0;
    for (; i + UNROLL <= w.length; i += UNROLL) {
      addFour(x, w, i, y);
    }
    for (; i < w.length; i++) {
      addScaled(x[i], w[i], y);
    }
  }

  /** {@code gradient += Σ_r x[r]ᵀ · dy[r]} over the rows from (inclusive) to (exclusive). */
  static void addOuter(float[][] x, float[][] dy, float[][] gradient, int from, int to) {
    int r = from;
    for (; r + UNROLL <= to; r += UNROLL) {
      float[][] fourX = {x[r], x[r + 1], x[r + 2], x[r + 3]};
      float[][] fourDy = {dy[r], dy[r + 1], dy[r + 2], dy[r + 3]};
      float[] column = new float[UNROLL];
      for (int i = 0; i < gradient.length; i++) {
        for (int k = 0; k < UNROLL; k++) {
          column[k] = fourX[k][i];
        }
        addFour(column, fourDy, 0, gradient[i]);
      }
    }
    for (; r < to; r++) {
      for (int i = 0; i < gradient.length; i++) {
        addScaled(x[r][i], dy[r], gradient[i]);
      }
    }
  }

  /** {@code y += a · x}. */
  static void addScaled(float a, float[] x, float[] y) {
    for (int j = 0; j < y.length; j++) {
      y[j] += a * x[j];
    }
  }

  /** {@code Σ_i a[i] · b[i]}, in order. */
  static float dot(float[] a, float[] b) {
    float sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += a[i] * b[i];
    }
    return sum;
  }

  static float[][] transpose(float[][] w) {
    float[][] t = new float[w[0].length][w.length];
    for (int i = 0; i < w.length; i++) {
      for (int j = 0; j < t.length; j++) {
        t[j][i] = w[i][j];
      }
    }
    return t;
  }

  private static void addFour(float[] x, float[][] w, int i, float[] y) {
    float x0 = x[i];
    float x1 = x[i + 1];
    float x2 = x[i + 2];
    float x3 = x[i + 3];
    float[] w0 = w[i];
    float[] w1 = w[i + 1];
    float[] w2 = w[i + 2];
    float[] w3 = w[i + 3];
    for (int j = 0; j < y.length; j++) {
      y[j] += x0 * w0[j] + x1 * w1[j] + x2 * w2[j] + x3 * w3[j];
    }
  }
}
