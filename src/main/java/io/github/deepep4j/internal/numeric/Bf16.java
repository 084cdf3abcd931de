package io.github.deepep4j.internal.numeric;

/**
 * BF16: the upper 16 bits of a float32 (sign, 8 exponent bits, 7 fraction bits).
 *
 * <p>Widening appends 16 zero bits and is exact. Narrowing rounds to nearest even in integer
 * arithmetic: adding half a unit of the last kept bit, less one when that bit is even, carries into
 * the kept bits exactly when they must go up; a carry out of the fraction moves to the next
 * exponent, and from the largest finite value to infinity.
 */
public final class Bf16 {
  /** The NaN that narrowing gives for every NaN. */
  public static final short NAN = 0x7FFF;

  /** Magnitude bits: all but the sign. */
  public static final int MAGNITUDE_MASK = 0x7FFF;

  /** Magnitude of infinity; what is above is NaN. */
  public static final int INFINITY_BITS = 0x7F80;

  private static final int FLOAT_MAGNITUDE_MASK = 0x7FFF_FFFF;
  private static final int FLOAT_INFINITY_BITS = 0x7F80_0000;

  private Bf16() {}

  /** Widens, exactly. */
  public static float toFloat(short bf16) {
    return Float.intBitsToFloat(bf16 << 16);
  }

  /** Narrows, rounding to nearest even; a NaN becomes {@link #NAN}. */
  public static short fromFloat(float value) {
    int bits = Float.floatToRawIntBits(value);
    int rounded = (bits + 0x7FFF + ((bits >>> 16) & 1)) >>> 16;
    return (bits & FLOAT_MAGNITUDE_MASK) > FLOAT_INFINITY_BITS ? NAN : (short) rounded;
  }
}
