package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.internal.numeric.Bf16;

/** Row sums in plain Java: what combine means, one element at a time. */
final class ScalarRowReducer implements RowReducer {
  private short[] row = new short[0];
  private float[] sums = new float[0];

  @Override
  public void reduce(RowSum sum) {
    start(sum.columns);
    if (sum.bias0 != 0) {
      addBias(sum);
    }
    float[] weights = sum.weights;
    for (int i = 0; i < sum.count; i++) {
      OffHeap.copyToArray(sum.rowAddresses[i], row, 0, sum.columns);
      if (weights == null) {
        for (int column = 0; column < sum.columns; column++) {
          sums[column] += Bf16.toFloat(row[column]);
        }
      } else {
        for (int column = 0; column < sum.columns; column++) {
          sums[column] = Math.fma(weights[i], Bf16.toFloat(row[column]), sums[column]);
        }
      }
    }
    finish(sum.columns, sum.out);
  }

  private void addBias(RowSum sum) {
    OffHeap.copyToArray(sum.bias0, row, 0, sum.columns);
    for (int column = 0; column < sum.columns; column++) {
      sums[column] = Bf16.toFloat(row[column]);
    }
    if (sum.bias1 != 0) {
      OffHeap.copyToArray(sum.bias1, row, 0, sum.columns);
      for (int column = 0; column < sum.columns; column++) {
        sums[column] += Bf16.toFloat(row[column]);
      }
    }
    for (int column = 0; column < sum.columns; column++) {
      sums[column] = 0f + sums[column]; // −0 becomes +0
    }
  }

  @Override
  public void reduceFloats(FloatRowSum sum) {
    start(sum.columns);
    for (int i = 0; i < sum.count; i++) {
      int begin = i * sum.columns;
      for (int column = 0; column < sum.columns; column++) {
        sums[column] = Math.fma(sum.weights[i], sum.rows[begin + column], sums[column]);
      }
    }
    finish(sum.columns, sum.out);
  }

  private void start(int columns) {
    if (row.length < columns) {
      row = new short[columns];
      sums = new float[columns];
    }
    java.util.Arrays.fill(sums, 0, columns, 0f);
  }

  private void finish(int columns, long out) {
    for (int column = 0; column < columns; column++) {
      row[column] = Bf16.fromFloat(sums[column]);
    }
    OffHeap.copyFromArray(row, 0, out, columns);
  }

  @Override
  public String description() {
    return "scalar";
  }
}
