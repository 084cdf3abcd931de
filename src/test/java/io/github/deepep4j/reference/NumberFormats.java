package io.github.deepep4j.reference;

/**
 * BF16 and E4M3, written the obvious way: decode by the definition of the format, encode by
 * comparing distances to the neighbours.
 */
public final class NumberFormats {
  /** The largest finite E4M3 code. */
  private static final int LARGEST_E4M3 = 0x7E;

  /** All values by their bits, because tests look up millions of them. */
  private static final float[] BF16_VALUES = new float[1 << 16];

  private static final float[] E4M3_VALUES = new float[1 << 8];

  static {
    for (int bits = 0; bits < BF16_VALUES.length; bits++) {
      BF16_VALUES[bits] = decodeBf16((short) bits);
    }
    for (int code = 0; code < E4M3_VALUES.length; code++) {
      E4M3_VALUES[code] = decodeE4m3(code);
    }
  }

  private NumberFormats() {}

  /** The value of BF16 bits. */
  public static float bf16ToFloat(short bits) {
    return BF16_VALUES[bits & 0xFFFF];
  }

  private static float decodeBf16(short bits) {
    int sign = bits < 0 ? -1 : 1;
    int exponent = (bits >> 7) & 0xFF;
    int fraction = bits & 0x7F;
    if (exponent == 255) {
      return fraction != 0 ? Float.NaN : sign * Float.POSITIVE_INFINITY;
    }
    double magnitude =
        exponent == 0
            ? fraction * Math.pow(2, -126 - 7)
            : (128 + fraction) * Math.pow(2, exponent - 127 - 7);
    return (float) (sign * magnitude);
  }

  /** The nearest BF16 bits, ties to even; 0x7FFF for NaN. */
  public static short floatToBf16(float value) {
    if (Float.isNaN(value)) {
      return 0x7FFF;
    }
    int sign = Float.floatToRawIntBits(value) < 0 ? 0x8000 : 0;
    double magnitude = Math.abs((double) value);
    if (Double.isInfinite(magnitude)) {
      return (short) (sign | 0x7F80);
    }
    // Truncation gives the neighbour below; the one above it is the next bit pattern.
    int below = (Float.floatToRawIntBits(value) >>> 16) & 0x7FFF;
    double toBelow = magnitude - bf16ToFloat((short) below);
    double above = below + 1 == 0x7F80 ? Math.pow(2, 128) : bf16ToFloat((short) (below + 1));
    double toAbove = above - magnitude;
    boolean up = toAbove < toBelow || (toAbove == toBelow && below % 2 == 1);
    return (short) (sign | (up ? below + 1 : below));
  }

  /** The value of an E4M3 code: 0x7F and 0xFF are NaN, there is no infinity. */
  public static float e4m3ToFloat(int code) {
    return E4M3_VALUES[code & 0xFF];
  }

  private static float decodeE4m3(int code) {
    int magnitudeCode = code & 0x7F;
    if (magnitudeCode == 0x7F) {
      return Float.NaN;
    }
    int exponent = magnitudeCode >> 3;
    int fraction = magnitudeCode & 7;
    double magnitude =
        exponent == 0
            ? fraction * Math.pow(2, -6 - 3)
            : (8 + fraction) * Math.pow(2, exponent - 7 - 3);
    return (float) ((code & 0x80) != 0 ? -magnitude : magnitude);
  }

  /** The nearest E4M3 code, ties to even, saturating at 448; 0x7F for NaN. */
  public static byte floatToE4m3(float value) {
    if (Float.isNaN(value)) {
      return 0x7F;
    }
    int sign = Float.floatToRawIntBits(value) < 0 ? 0x80 : 0;
    double magnitude = Math.abs((double) value);
    int nearest = 0;
    for (int code = 1; code <= LARGEST_E4M3; code++) {
      double distance = Math.abs(magnitude - e4m3ToFloat(code));
      double best = Math.abs(magnitude - e4m3ToFloat(nearest));
      if (distance < best || (distance == best && code % 2 == 0)) {
        nearest = code;
      } else if (distance > best) {
        break; // the values grow with the codes, so the distances only grow from here
      }
    }
    return (byte) (sign | nearest);
  }
}
