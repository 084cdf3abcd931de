package io.github.deepep4j.examples.training;

/** Rows of floats to and from BF16, the format in which activations and gradients travel. */
final class Bf16 {
  private Bf16() {}

  /** Rounds to nearest even. */
  static short of(float value) {
    if (Float.isNaN(value)) {
      return 0x7FFF;
    }
    int bits = Float.floatToRawIntBits(value);
    return (short) ((bits + 0x7FFF + ((bits >>> 16) & 1)) >>> 16);
  }

  static float toFloat(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /** Rows {@code from} to {@code to} as one row-major array. */
  static short[] pack(float[][] rows, int from, int to) {
    if (from == to) {
      return new short[0];
    }
    int width = rows[from].length;
    short[] packed = new short[(to - from) * width];
    for (int r = from; r < to; r++) {
      int start = (r - from) * width;
      for (int i = 0; i < width; i++) {
        packed[start + i] = of(rows[r][i]);
      }
    }
    return packed;
  }

  /** All rows as one row-major array. */
  static short[] pack(float[][] rows) {
    return pack(rows, 0, rows.length);
  }

  /** Rows of the given width, from a row-major array. */
  static float[][] unpack(short[] packed, int width) {
    float[][] rows = new float[packed.length / width][width];
    unpack(packed, rows);
    return rows;
  }

  /** Overwrites the first rows with a row-major array. */
  static void unpack(short[] packed, float[][] rows) {
    int next = 0;
    for (int r = 0; next < packed.length; r++) {
      float[] row = rows[r];
      for (int i = 0; i < row.length; i++) {
        row[i] = toFloat(packed[next++]);
      }
    }
  }
}
