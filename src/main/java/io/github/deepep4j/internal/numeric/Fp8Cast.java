package io.github.deepep4j.internal.numeric;

import java.util.Arrays;

/**
 * Casts a BF16 row to E4M3 codes with one scale per 128 channels, and back.
 *
 * <p>Per group, {@code amax = max(1e-4, max|x|)} is mapped onto E4M3's largest value. All
 * arithmetic is float32, in this order, because other orders differ in the last bit:
 *
 * <ul>
 *   <li>{@link Scaling#PLAIN}: the scale is {@code amax * (1/448)}, a product with the rounded
 *       constant; codes are {@code e4m3(x * (448/amax))}.
 *   <li>{@link Scaling#ROUNDED}: the plain scale rounded up to a power of two {@code 2^e}, read off
 *       its bits; codes are {@code e4m3(x * 2^-e)}.
 *   <li>{@link Scaling#UE8M0}: as ROUNDED, but only the biased exponent of {@code 2^e} is kept,
 *       four to an int: byte b of pack p (b = 0 lowest) belongs to group 4p + b, unused bytes are
 *       0.
 * </ul>
 *
 * <p>A NaN takes no part in the maximum and becomes a NaN code. A group with an infinity has no
 * useful scale: it stores +infinity (UE8M0: 255) and NaN codes throughout, so that whatever is
 * dequantised from it is NaN.
 *
 * <p>BF16 magnitudes order like their bits, so the maximum is taken over integers.
 */
public final class Fp8Cast {
  /** Channels that share one scale. */
  public static final int GROUP_CHANNELS = 128;

  /** What is stored as a group's scale. */
  public enum Scaling {
    /** The float32 scale itself. */
    PLAIN,
    /** The float32 scale, rounded up to a power of two. */
    ROUNDED,
    /** The biased exponent of the rounded scale, four groups to an int. */
    UE8M0
  }

  /** Smallest amax, so that an all-zero group has a scale to divide by. */
  private static final float SMALLEST_AMAX = 1e-4f;

  private static final float INVERSE_MAX = 1f / Fp8E4m3.MAX;
  private static final int EXPONENT_SHIFT = 23;
  private static final int FRACTION_MASK = (1 << EXPONENT_SHIFT) - 1;

  /** Sum of the biased exponents of 2^e and 2^−e. */
  private static final int EXPONENT_SUM = 2 * 127;

  private Fp8Cast() {}

  /**
   * Number of scale words of a row.
   *
   * @param hidden channels, a multiple of 128
   * @param scaling what is stored
   * @return one int per group, or one per four groups, rounded up, for UE8M0
   */
  public static int scaleWords(int hidden, Scaling scaling) {
    int numGroups = hidden / GROUP_CHANNELS;
    return scaling == Scaling.UE8M0 ? (numGroups + 3) / 4 : numGroups;
  }

  /**
   * Casts one row.
   *
   * @param row BF16 {@code [hidden]}
   * @param hidden channels, a multiple of 128
   * @param scaling what to store as scales
   * @param codes receives E4M3 codes {@code [hidden]}
   * @param scaleWords receives float32 bits or packs, {@code [scaleWords(hidden, scaling)]}
   */
  public static void castRow(
      short[] row, int hidden, Scaling scaling, byte[] codes, int[] scaleWords) {
    requireGroups(hidden);
    for (int first = 0; first < hidden; first += GROUP_CHANNELS) {
      castGroup(row, first, scaling, codes, scaleWords);
    }
  }

  /**
   * Casts the group that begins at channel {@code first}; the arrays are those of {@link #castRow}.
   */
  public static void castGroup(
      short[] row, int first, Scaling scaling, byte[] codes, int[] scaleWords) {
    int amaxBits = largestMagnitude(row, first);
    float multiplier = scaleGroup(amaxBits, first, scaling, scaleWords);
    if (amaxBits == Bf16.INFINITY_BITS) {
      Arrays.fill(codes, first, first + GROUP_CHANNELS, Fp8E4m3.NAN);
      return;
    }
    for (int i = first; i < first + GROUP_CHANNELS; i++) {
      codes[i] = Fp8E4m3.fromFloat(Bf16.toFloat(row[i]) * multiplier);
    }
  }

  /**
   * Stores the scale of a group.
   *
   * @param amaxBits the group's largest magnitude as BF16 bits, NaN left out
   * @param first the group's first channel
   * @param scaling what to store
   * @param scaleWords the row's scales
   * @return what the group's values are multiplied by before they are rounded to codes; of no use
   *     for an infinite magnitude, whose codes are all NaN
   */
  public static float scaleGroup(int amaxBits, int first, Scaling scaling, int[] scaleWords) {
    int group = first / GROUP_CHANNELS;
    if (amaxBits == Bf16.INFINITY_BITS) {
      storeScale(scaling, scaleWords, group, Bf16.INFINITY_BITS << 16);
      return 0f;
    }
    float amax = Math.max(SMALLEST_AMAX, Float.intBitsToFloat(amaxBits << 16));
    int scaleBits = Float.floatToRawIntBits(amax * INVERSE_MAX);
    if (scaling == Scaling.PLAIN) {
      storeScale(scaling, scaleWords, group, scaleBits);
      return Fp8E4m3.MAX / amax;
    }
    int exponent = (scaleBits + FRACTION_MASK) >>> EXPONENT_SHIFT; // up, unless a power of two
    storeScale(scaling, scaleWords, group, exponent << EXPONENT_SHIFT);
    return Float.intBitsToFloat((EXPONENT_SUM - exponent) << EXPONENT_SHIFT);
  }

  /**
   * The values that a cast row stands for: code times scale, in float32.
   *
   * @param codes E4M3 codes {@code [hidden]}
   * @param scaleWords the scales, {@code [scaleWords(hidden, scaling)]}
   * @param scaling what the scales are
   * @param hidden channels, a multiple of 128
   * @param out receives the values {@code [hidden]}
   */
  public static void dequantizeRow(
      byte[] codes, int[] scaleWords, Scaling scaling, int hidden, float[] out) {
    requireGroups(hidden);
    for (int first = 0; first < hidden; first += GROUP_CHANNELS) {
      float scale = scale(scaling, scaleWords, first / GROUP_CHANNELS);
      for (int i = first; i < first + GROUP_CHANNELS; i++) {
        out[i] = Fp8E4m3.toFloat(codes[i]) * scale;
      }
    }
  }

  /**
   * One group's scale.
   *
   * @param scaling what the words hold
   * @param scaleWords the row's scales
   * @param group index of the group
   * @return the scale as float32
   */
  public static float scale(Scaling scaling, int[] scaleWords, int group) {
    if (scaling != Scaling.UE8M0) {
      return Float.intBitsToFloat(scaleWords[group]);
    }
    int exponent = scaleWords[group >> 2] >>> (8 * (group & 3)) & 0xFF;
    return Float.intBitsToFloat(exponent << EXPONENT_SHIFT);
  }

  private static void storeScale(Scaling scaling, int[] scaleWords, int group, int scaleBits) {
    if (scaling != Scaling.UE8M0) {
      scaleWords[group] = scaleBits;
      return;
    }
    int lane = group & 3;
    // The first group of a pack overwrites it: scratch arrays keep an earlier row's words.
    int others = lane == 0 ? 0 : scaleWords[group >> 2];
    scaleWords[group >> 2] = others | (scaleBits >>> EXPONENT_SHIFT) << (8 * lane);
  }

  /** Largest magnitude of a group as BF16 bits, NaN left out. */
  private static int largestMagnitude(short[] row, int first) {
    int largest = 0;
    for (int i = first; i < first + GROUP_CHANNELS; i++) {
      int magnitude = row[i] & Bf16.MAGNITUDE_MASK;
      largest = Math.max(largest, magnitude > Bf16.INFINITY_BITS ? 0 : magnitude);
    }
    return largest;
  }

  private static void requireGroups(int hidden) {
    if (hidden % GROUP_CHANNELS != 0) {
      throw new IllegalArgumentException(
          "an FP8 row has a multiple of " + GROUP_CHANNELS + " channels, not " + hidden);
    }
  }
}
