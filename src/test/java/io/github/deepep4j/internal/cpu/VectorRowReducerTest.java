package io.github.deepep4j.internal.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The sums that this JVM's flags give against the scalar ones, over every width and any bits: NaN,
 * infinities, subnormals and −0 in rows, biases and weights alike.
 */
final class VectorRowReducerTest {
  private static final int MAX_ROWS = 32;

  /** Past two blocks of the vector reducer and some vectors more. */
  private static final int MAX_COLUMNS = 2 * 1024 + 72;

  private final RowReducer scalar = new ScalarRowReducer();
  private final RowReducer best = RowReducers.best();

  @Test
  void shouldBeTheVectorOne_whenTheModuleIsThere() {
    boolean there = ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();
    assertThat(best.getClass().getSimpleName().equals("VectorRowReducer")).isEqualTo(there);
  }

  @Test
  void shouldGiveTheSameBits_whenWidthIsAnyMultipleOf8() {
    SplittableRandom random = new SplittableRandom(8);
    try (Memory memory = memory(random)) {
      for (int columns = 8; columns <= MAX_COLUMNS; columns += 8) {
        RowSum sum = sum(memory, columns, 1 + random.nextInt(8), random);
        sum.weights = columns % 16 == 0 ? weights(random) : null;
        assertSame(sum, "columns " + columns);
      }
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldGiveTheSameBits_whenAnyNumberOfRows(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    int columns = 8 * (1 + random.nextInt(MAX_COLUMNS / 8));
    try (Memory memory = memory(random)) {
      for (int rows = 0; rows <= MAX_ROWS; rows++) {
        RowSum sum = sum(memory, columns, rows, random);
        sum.weights = random.nextBoolean() ? weights(random) : null;
        assertSame(sum, rows + " rows of " + columns);
      }
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldGiveTheSameBits_whenRowsAreDecoded(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    int columns = 8 * (1 + random.nextInt(300));
    try (Memory out = OffHeap.allocate(4L * columns)) {
      FloatRowSum sum = new FloatRowSum(columns, weights(random));
      for (int i = 0; i < sum.rows.length; i++) {
        sum.rows[i] = Float.intBitsToFloat(random.nextInt());
      }
      for (int rows = 0; rows <= MAX_ROWS; rows++) {
        sum.count = rows;
        sum.out = out.address();
        scalar.reduceFloats(sum);
        sum.out = out.address() + 2L * columns;
        best.reduceFloats(sum);
        assertEqualHalves(out.address(), columns, rows + " decoded rows of " + columns);
      }
    }
  }

  /** Rows, two biases and two results, all of any bits. */
  private static Memory memory(SplittableRandom random) {
    short[] bits = new short[(MAX_ROWS + 4) * MAX_COLUMNS];
    for (int i = 0; i < bits.length; i++) {
      // Mostly numbers that can be added, else nearly every sum would be NaN.
      int any = random.nextInt(1 << 16);
      bits[i] = (short) (random.nextInt(64) == 0 ? any : (any & 0x83FF) | 0x3C00);
      bits[i] = random.nextInt(32) == 0 ? (short) 0x8000 : bits[i];
    }
    Memory memory = OffHeap.allocate(2L * bits.length);
    OffHeap.copyFromArray(bits, 0, memory.address(), bits.length);
    return memory;
  }

  private static RowSum sum(Memory memory, int columns, int rows, SplittableRandom random) {
    RowSum sum = new RowSum(columns, MAX_ROWS);
    for (int row = 0; row < rows; row++) {
      sum.rowAddresses[row] = memory.address() + 2L * MAX_COLUMNS * row;
    }
    sum.count = rows;
    int biases = random.nextInt(3);
    sum.bias0 = biases > 0 ? memory.address() + 2L * MAX_COLUMNS * MAX_ROWS : 0;
    sum.bias1 = biases > 1 ? memory.address() + 2L * MAX_COLUMNS * (MAX_ROWS + 1) : 0;
    sum.out = memory.address() + 2L * MAX_COLUMNS * (MAX_ROWS + 2);
    return sum;
  }

  private static float[] weights(SplittableRandom random) {
    float[] weights = new float[MAX_ROWS];
    for (int i = 0; i < weights.length; i++) {
      weights[i] =
          random.nextInt(40) == 0
              ? Float.intBitsToFloat(random.nextInt())
              : (float) random.nextDouble(-2, 2);
    }
    return weights;
  }

  private void assertSame(RowSum sum, String what) {
    long out = sum.out;
    scalar.reduce(sum);
    sum.out = out + 2L * sum.columns;
    best.reduce(sum);
    assertEqualHalves(out, sum.columns, what);
  }

  private static void assertEqualHalves(long address, int columns, String what) {
    short[] both = new short[2 * columns];
    OffHeap.copyToArray(address, both, 0, both.length);
    int mismatch = Arrays.mismatch(both, 0, columns, both, columns, 2 * columns);
    assertThat(mismatch).as("first different column, %s", what).isEqualTo(-1);
  }
}
