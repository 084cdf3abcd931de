package io.github.deepep4j.internal.cpu;

/**
 * One token's weighted sum over decoded float32 rows: from +0, row by row with a fused
 * multiply-add, rounded once to BF16.
 */
public final class FloatRowSum {
  /** Elements of a row. */
  public final int columns;

  /** The rows, one after another: row i begins at {@code i·columns}. */
  public final float[] rows;

  /** Weights of the rows. */
  public final float[] weights;

  /** Rows to add. */
  public int count;

  /** Where the BF16 sum goes. */
  public long out;

  /**
   * Makes the arrays.
   *
   * @param columns elements of a row, a multiple of 8
   * @param weights of the rows, one for each row of the largest sum
   */
  public FloatRowSum(int columns, float[] weights) {
    this.columns = columns;
    this.weights = weights;
    this.rows = new float[columns * weights.length];
  }
}
