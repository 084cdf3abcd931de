package io.github.deepep4j.internal.cpu;

import org.jspecify.annotations.Nullable;

/**
 * One token's sum over BF16 rows at addresses: {@code +0 (+ (bias0 + bias1))}, then row by row,
 * multiplied by its weight with one rounding where there are weights, in float32; rounded once to
 * BF16 at the end. The fields are set anew for each token; the arrays are kept.
 */
public final class RowSum {
  /** Elements of a row. */
  public final int columns;

  /** Addresses of the rows, in the order of the sum. */
  public final long[] rowAddresses;

  /** Weights of the rows; null for a plain sum. */
  public float @Nullable [] weights;

  /** Rows to add. */
  public int count;

  /** Address of a BF16 row to start from, or 0. */
  public long bias0;

  /** Address of a second one, or 0. */
  public long bias1;

  /** Where the BF16 sum goes. */
  public long out;

  /**
   * Makes the arrays.
   *
   * @param columns elements of a row, a multiple of 8
   * @param maxRows most rows of one sum
   */
  public RowSum(int columns, int maxRows) {
    this.columns = columns;
    this.rowAddresses = new long[maxRows];
  }
}
