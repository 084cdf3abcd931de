package io.github.deepep4j.examples.training;

import java.util.Arrays;

/** One expert: {@code f(x) = relu(x · up)² · down}. */
final class Expert {
  private final Parameter up; // [hidden][inner]
  private final Parameter down; // [inner][hidden]

  Expert(Parameter up, Parameter down) {
    this.up = up;
    this.down = down;
  }

  int innerWidth() {
    return down.value().length;
  }

  /** Rows {@code from} to {@code to}: writes inner ({@code x · up}) and y. */
  void forward(float[][] x, float[][] inner, float[][] y, int from, int to) {
    RowMath.multiply(x, up.value(), inner, from, to);
    for (int r = from; r < to; r++) {
      Arrays.fill(y[r], 0);
      RowMath.addProduct(activate(inner[r]), down.value(), y[r]);
    }
  }

  /**
   * The rows of a range: adds to the weights' gradients, in row order, and writes dx.
   *
   * @param rows what forward read and wrote
   * @param dy gradient of y
   * @param dx gradient of x, written
   */
  void backward(Rows rows, float[][] dy, float[][] dx) {
    float[][] upT = RowMath.transpose(up.value());
    float[][] downT = RowMath.transpose(down.value());
    float[][] activated = new float[dy.length][];
    float[][] dInner = new float[dy.length][innerWidth()];
    for (int r = rows.from(); r < rows.to(); r++) {
      float[] inner = rows.inner()[r];
      activated[r] = activate(inner);
      RowMath.addProduct(dy[r], downT, dInner[r]);
      for (int i = 0; i < inner.length; i++) {
        dInner[r][i] *= 2 * Math.max(inner[i], 0);
      }
    }
    RowMath.addOuter(activated, dy, down.part(0), rows.from(), rows.to());
    RowMath.addOuter(rows.x(), dInner, up.part(0), rows.from(), rows.to());
    RowMath.multiply(dInner, upT, dx, rows.from(), rows.to());
  }

  /**
   * What an expert's backward needs of its forward.
   *
   * @param x inputs of all experts of the rank
   * @param inner {@code x · up}
   * @param from first row of this expert
   * @param to row after its last
   */
  record Rows(float[][] x, float[][] inner, int from, int to) {}

  private static float[] activate(float[] inner) {
    float[] activated = new float[inner.length];
    for (int i = 0; i < inner.length; i++) {
      float positive = Math.max(inner[i], 0);
      activated[i] = positive * positive;
    }
    return activated;
  }
}
