package io.github.deepep4j.internal.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.internal.numeric.Bf16;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The scalar sums and those that this JVM's flags give, against sums written out here. */
final class RowReducerTest {
  private static final int MAX_ROWS = 9;

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldGiveTheSameBits_whenRowsBiasesAndWeightsVary(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    // Across the borders of vectors and of the vector reducer's blocks of 1,024 columns.
    int columns = 8 * (1 + random.nextInt(400));
    short[][] rows = new short[MAX_ROWS + 2][];
    for (int row = 0; row < rows.length; row++) {
      rows[row] = randomRow(random, columns, row == 0 && random.nextBoolean());
    }
    for (int count = 0; count <= MAX_ROWS; count++) {
      for (int biases = 0; biases <= 2; biases++) {
        float @Nullable [] weights = random.nextBoolean() ? null : randomWeights(random);
        short[] expected = sum(rows, count, biases, weights);
        assertThat(reduce(new ScalarRowReducer(), rows, count, biases, weights))
            .as("scalar, %s rows, %s biases", count, biases)
            .isEqualTo(expected);
        assertThat(reduce(RowReducers.best(), rows, count, biases, weights))
            .as("best, %s rows, %s biases", count, biases)
            .isEqualTo(expected);
      }
    }
  }

  private static short[] randomRow(SplittableRandom random, int columns, boolean special) {
    short[] row = new short[columns];
    for (int i = 0; i < columns; i++) {
      row[i] =
          special
              ? (short) random.nextInt(0x10000) // NaN, infinities, subnormals among them
              : Bf16.fromFloat((float) random.nextDouble(-4, 4));
    }
    row[random.nextInt(columns)] = (short) 0x8000; // −0
    return row;
  }

  private static float[] randomWeights(SplittableRandom random) {
    float[] weights = new float[MAX_ROWS];
    for (int i = 0; i < MAX_ROWS; i++) {
      weights[i] = (float) random.nextDouble(-2, 2);
    }
    return weights;
  }

  /** As the semantics say it: from +0, plus the biases' sum, then row by row. */
  private static short[] sum(short[][] rows, int count, int biases, float @Nullable [] weights) {
    short[] sums = new short[rows[0].length];
    for (int column = 0; column < sums.length; column++) {
      float total = 0f;
      if (biases == 1) {
        total += Bf16.toFloat(rows[MAX_ROWS][column]);
      } else if (biases == 2) {
        total += Bf16.toFloat(rows[MAX_ROWS][column]) + Bf16.toFloat(rows[MAX_ROWS + 1][column]);
      }
      for (int row = 0; row < count; row++) {
        float value = Bf16.toFloat(rows[row][column]);
        total = weights == null ? total + value : Math.fma(weights[row], value, total);
      }
      sums[column] = Bf16.fromFloat(total);
    }
    return sums;
  }

  private static short[] reduce(
      RowReducer reducer, short[][] rows, int count, int biases, float @Nullable [] weights) {
    int columns = rows[0].length;
    try (Tensor memory = Tensor.allocate(DType.BF16, rows.length, columns);
        Tensor out = Tensor.zeros(DType.BF16, columns)) {
      RowSum sum = new RowSum(columns, MAX_ROWS);
      for (int row = 0; row < rows.length; row++) {
        OffHeap.copyFromArray(rows[row], 0, memory.address() + 2L * columns * row, columns);
      }
      for (int row = 0; row < count; row++) {
        sum.rowAddresses[row] = memory.address() + 2L * columns * row;
      }
      sum.count = count;
      sum.bias0 = biases > 0 ? memory.address() + 2L * columns * MAX_ROWS : 0;
      sum.bias1 = biases > 1 ? memory.address() + 2L * columns * (MAX_ROWS + 1) : 0;
      sum.weights = weights;
      sum.out = out.address();
      reducer.reduce(sum);
      return out.toShorts();
    }
  }
}
