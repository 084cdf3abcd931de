package io.github.deepep4j.examples.training;

/** {@code y = gain · x / sqrt(mean(x²) + ε)}, row by row. */
final class RmsNorm {
  private static final float EPSILON = 1e-5f;

  private final Parameter gain; // [1][hidden]
  private final Shards shards;

  RmsNorm(Parameter gain, Shards shards) {
    this.gain = gain;
    this.shards = shards;
  }

  /** Width of a row. */
  int width() {
    return gain.value()[0].length;
  }

  /** Any number of rows. */
  void forward(float[][] x, float[][] y) {
    float[] g = gain.value()[0];
    for (int r = 0; r < x.length; r++) {
      float inverse = inverse(x[r]);
      for (int i = 0; i < g.length; i++) {
        y[r][i] = g[i] * (x[r][i] * inverse);
      }
    }
  }

  /** Adds to dx and to the gain's parts, shard by shard. */
  void addBackward(float[][] x, float[][] dy, float[][] dx) {
    float[] g = gain.value()[0];
    for (int s = 0; s < shards.count(); s++) {
      float[] dGain = gain.part(s)[0];
      for (int r = shards.from(s); r < shards.to(s); r++) {
        float inverse = inverse(x[r]);
        float projection = 0; // of the gradient onto x, which the normalisation takes out
        for (int i = 0; i < g.length; i++) {
          projection += g[i] * dy[r][i] * x[r][i];
        }
        projection *= inverse * inverse / g.length;
        for (int i = 0; i < g.length; i++) {
          dGain[i] += dy[r][i] * (x[r][i] * inverse);
          dx[r][i] += inverse * (g[i] * dy[r][i] - projection * x[r][i]);
        }
      }
    }
  }

  private static float inverse(float[] row) {
    return (float) (1 / Math.sqrt(RowMath.dot(row, row) / row.length + EPSILON));
  }
}
