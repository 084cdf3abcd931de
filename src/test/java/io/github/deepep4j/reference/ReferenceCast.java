package io.github.deepep4j.reference;

/** The cast of BF16 rows to FP8 with one scale per 128 channels. */
public final class ReferenceCast {
  private static final int GROUP = 128;

  private ReferenceCast() {}

  /** What is stored as scale. */
  public enum Kind {
    /** The float32 scale. */
    PLAIN,
    /** The scale rounded up to a power of two, float32. */
    ROUNDED,
    /** The rounded scale's exponent byte, four to an int32. */
    UE8M0
  }

  /**
   * A cast row.
   *
   * @param codes E4M3 {@code [H]}
   * @param scales words: float32 bits, or packs of four exponents
   */
  public record Row(byte[] codes, int[] scales) {}

  /** Words of scales per row. */
  public static int scaleWords(int hidden, Kind kind) {
    int groups = hidden / GROUP;
    return kind == Kind.UE8M0 ? (groups + 3) / 4 : groups;
  }

  /** Casts one row. */
  public static Row cast(short[] row, Kind kind) {
    byte[] codes = new byte[row.length];
    int[] words = new int[scaleWords(row.length, kind)];
    for (int group = 0; group < row.length / GROUP; group++) {
      float amax = 1e-4f;
      for (int i = group * GROUP; i < (group + 1) * GROUP; i++) {
        float magnitude = Math.abs(NumberFormats.bf16ToFloat(row[i]));
        if (magnitude > amax) { // false for NaN
          amax = magnitude;
        }
      }
      float scale = amax * (1f / 448f);
      float multiplier = 448f / amax;
      if (kind != Kind.PLAIN && !Float.isInfinite(amax)) {
        int exponent = Math.getExponent(scale);
        if (scale != (float) Math.pow(2, exponent)) {
          exponent++;
        }
        scale = (float) Math.pow(2, exponent);
        multiplier = (float) Math.pow(2, -exponent);
      }
      for (int i = group * GROUP; i < (group + 1) * GROUP; i++) {
        codes[i] =
            Float.isInfinite(amax)
                ? 0x7F
                : NumberFormats.floatToE4m3(NumberFormats.bf16ToFloat(row[i]) * multiplier);
      }
      if (kind == Kind.UE8M0) {
        int exponentByte = Float.isInfinite(amax) ? 255 : Math.getExponent(scale) + 127;
        words[group / 4] |= exponentByte << (8 * (group % 4));
      } else {
        words[group] = Float.floatToRawIntBits(Float.isInfinite(amax) ? amax : scale);
      }
    }
    return new Row(codes, words);
  }
}
