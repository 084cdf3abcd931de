package io.github.deepep4j.internal.numeric;

/**
 * E4M3: sign, 4 exponent bits with bias 7, 3 fraction bits; no infinity, one NaN per sign, largest
 * value 448. Where it comes from: the OCP 8-bit floating point specification, E4M3.
 *
 * <p>Encoding lets the float adder round. E4M3 values between 2^e and 2^(e+1) are 2^(e−3) apart,
 * and so are floats between 2^(e+20) and 2^(e+21). Adding 2^(e+20) to |x| therefore rounds |x| to
 * E4M3's grid, to nearest even, and leaves the number of grid steps in the sum's low bits: 8 to 16
 * for a normal value, where 16 carries into the next exponent. Values below 2^−6 are subnormal and
 * use the grid of e = −6, where the step count, 0 to 8, is the code itself. Clamping |x| to 448
 * first is the saturation, and keeps 2^(e+20) finite.
 */
public final class Fp8E4m3 {
  /** Largest finite value. */
  public static final float MAX = 448f;

  /** The NaN that encoding gives for every NaN. */
  public static final byte NAN = 0x7F;

  private static final int MAGNITUDE_MASK = 0x7FFF_FFFF;
  private static final int INFINITY_BITS = 0x7F80_0000;
  private static final int EXPONENT_SHIFT = 23;

  /** {@link #MAX} as float bits. */
  public static final int MAX_BITS = Float.floatToRawIntBits(MAX);

  /** Biased float exponent of 2^−6, E4M3's smallest normal value. */
  public static final int SMALLEST_NORMAL_EXPONENT = 127 - 6;

  /** Floats have this many fraction bits more than E4M3. */
  public static final int DROPPED_BITS = 20;

  private static final float[] VALUES = values();

  private Fp8E4m3() {}

  /** The value of a code, exactly; NaN for 0x7F and 0xFF. */
  public static float toFloat(byte code) {
    return VALUES[code & 0xFF];
  }

  /** The nearest code, ties to even, saturating to ±448; a NaN becomes {@link #NAN}. */
  public static byte fromFloat(float value) {
    int bits = Float.floatToRawIntBits(value);
    int magnitude = bits & MAGNITUDE_MASK;
    int clamped = Math.min(magnitude, MAX_BITS);
    int exponent = Math.max(clamped >>> EXPONENT_SHIFT, SMALLEST_NORMAL_EXPONENT);
    int grid = (exponent + DROPPED_BITS) << EXPONENT_SHIFT;
    float sum = Float.intBitsToFloat(clamped) + Float.intBitsToFloat(grid);
    int steps = Float.floatToRawIntBits(sum) - grid;
    int code = ((exponent - SMALLEST_NORMAL_EXPONENT) << 3) + steps;
    return magnitude > INFINITY_BITS ? NAN : (byte) (code | (bits >>> 24 & 0x80));
  }

  private static float[] values() {
    float[] values = new float[256];
    for (int code = 0; code < values.length; code++) {
      int exponent = code >>> 3 & 0xF;
      int fraction = code & 7;
      float magnitude =
          exponent == 0
              ? Math.scalb((float) fraction, -6 - 3)
              : Math.scalb((float) (8 + fraction), exponent - 7 - 3);
      values[code] = code >= 128 ? -magnitude : magnitude;
    }
    values[0x7F] = Float.NaN;
    values[0xFF] = Float.NaN;
    return values;
  }
}
