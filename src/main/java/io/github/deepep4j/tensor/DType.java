package io.github.deepep4j.tensor;

/** Element types that dispatch and combine carry. All are little-endian. */
public enum DType {
  /** bfloat16: sign, 8 exponent bits, 7 mantissa bits. */
  BF16(2),
  /** FP8 E4M3 (the finite variant: no infinity, ±448 is the largest value, 0x7F is NaN). */
  FP8_E4M3(1),
  /** IEEE 754 binary32. */
  FLOAT32(4),
  /** Signed 32-bit integer. */
  INT32(4),
  /** Signed 64-bit integer. */
  INT64(8),
  /** Unsigned 8-bit integer. */
  UINT8(1);

  private final int bytes;

  DType(int bytes) {
    this.bytes = bytes;
  }

  /**
   * Size of one element.
   *
   * @return bytes
   */
  public int bytes() {
    return bytes;
  }
}
