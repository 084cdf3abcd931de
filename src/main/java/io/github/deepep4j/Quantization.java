package io.github.deepep4j;

/**
 * How BF16 rows are cast to FP8 E4M3 on their way out: one scale for each 128 channels of a token,
 * from {@code amax = max(1e-4, max|x|)}.
 */
public enum Quantization {
  /** Scale {@code amax·(1/448)} as float32; codes are {@code e4m3(x·(448/amax))}. */
  PLAIN,
  /** The scale rounded up to a power of two, as float32. */
  ROUNDED,
  /** The rounded scale as its 8 exponent bits, four to an int32, the lowest byte first. */
  UE8M0
}
