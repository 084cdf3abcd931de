package io.github.deepep4j.bench;

/**
 * Contents of rows: whole numbers from 0 to 7 that a hash of (salt, rank, token, column) chooses,
 * and 7 at the start of each group of 128 channels. So every number format here holds them exactly,
 * the FP8 cast has one known scale, and sums of up to 36 equal rows are exact in BF16. Another salt
 * is other contents: a result left over from an earlier call does not pass for a new one.
 */
final class Pattern {
  /** Channels that share a scale. */
  static final int GROUP = 128;

  private static final int LARGEST = 7;

  /** What the cast stores as the scale of a group whose largest magnitude is 7. */
  private static final float CAST_SCALE = LARGEST * (1f / 448f);

  private final Workload load;
  private final int salt;

  Pattern(Workload load, int salt) {
    this.load = load;
    this.salt = salt;
  }

  /** A row in BF16, each value multiplied by {@code factor}. */
  short[] bf16(int rank, int token, int factor) {
    short[] row = new short[load.hidden()];
    long hash = hash(rank, token);
    for (int column = 0; column < row.length; column++) {
      row[column] = (short) (Float.floatToRawIntBits(factor * value(hash, column)) >>> 16);
    }
    return row;
  }

  /** A row in FP8, as the caller gives it or as the cast makes it. */
  byte[] fp8(int rank, int token) {
    // The cast multiplies by 448/7 = 64: six steps of the exponent.
    int shift = load.dtype() == Workload.Wire.FP8_CAST ? 6 : 0;
    byte[] row = new byte[load.hidden()];
    long hash = hash(rank, token);
    for (int column = 0; column < row.length; column++) {
      row[column] = e4m3(value(hash, column), shift);
    }
    return row;
  }

  /** Scales of a row, as the caller gives them or as the cast makes them. */
  float[] scales(int rank, int token) {
    float[] scales = new float[load.scaleWords()];
    for (int group = 0; group < scales.length; group++) {
      scales[group] =
          load.dtype() == Workload.Wire.FP8_CAST ? CAST_SCALE : salt + rank + token + group / 64f;
    }
    return scales;
  }

  private long hash(int rank, int token) {
    long hash = ((long) salt << 48 ^ (long) rank << 32 ^ token) * 0x9E3779B97F4A7C15L;
    hash ^= hash >>> 29;
    return hash * 0xBF58476D1CE4E5B9L | 1;
  }

  private static int value(long hash, int column) {
    return column % GROUP == 0 ? LARGEST : (int) (hash * (column + 1) >>> 61);
  }

  /** {@code value · 2^shift} in E4M3: sign, 4 exponent bits with bias 7, 3 mantissa bits. */
  private static byte e4m3(int value, int shift) {
    if (value == 0) {
      return 0;
    }
    int exponent = 31 - Integer.numberOfLeadingZeros(value);
    int mantissa = (value << 3 >> exponent) & 7;
    return (byte) ((exponent + shift + 7) << 3 | mantissa);
  }
}
