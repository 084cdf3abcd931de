package io.github.deepep4j.internal.cpu.vector;

import io.github.deepep4j.internal.cpu.FloatRowSum;
import io.github.deepep4j.internal.cpu.RowReducer;
import io.github.deepep4j.internal.cpu.RowSum;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.internal.numeric.Bf16;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * Row sums in vector registers.
 *
 * <p>A little-endian 32-bit word holds two BF16 elements. Shifted left by 16 it is the even one as
 * a float32, with its lower half cleared it is the odd one, so a word vector gives two float
 * vectors without a lane crossing. Rows are brought into an array a block of columns at a time (raw
 * addresses can't be loaded on 17 and 25 alike); within a block the sums stay in registers over all
 * rows and are stored once.
 */
public final class VectorRowReducer implements RowReducer {
  private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
  private static final int LANES = INTS.length();
  private static final int UPPER_HALF = 0xFFFF_0000;

  /** Words of one row in a block: eight rows of 2 KiB leave room in a 32 KiB L1 cache. */
  private static final int BLOCK_WORDS = 512;

  /** Rows of one sum, biases included. */
  private static final int MAX_ROWS = 34;

  private final int[] rows = new int[MAX_ROWS * BLOCK_WORDS];
  private final int[] result = new int[BLOCK_WORDS];
  private float[] floatResult = new float[0];
  private short[] shortResult = new short[0];

  /** Made by name. */
  public VectorRowReducer() {}

  @Override
  public void reduce(RowSum sum) {
    int words = sum.columns / 2;
    for (int begin = 0; begin < words; begin += BLOCK_WORDS) {
      int count = Math.min(BLOCK_WORDS, words - begin);
      long offset = 4L * begin;
      int biases = 0;
      if (sum.bias0 != 0) {
        OffHeap.copyToArray(sum.bias0 + offset, rows, BLOCK_WORDS * biases++, count);
      }
      if (sum.bias1 != 0) {
        OffHeap.copyToArray(sum.bias1 + offset, rows, BLOCK_WORDS * biases++, count);
      }
      for (int row = 0; row < sum.count; row++) {
        OffHeap.copyToArray(
            sum.rowAddresses[row] + offset, rows, BLOCK_WORDS * (biases + row), count);
      }
      addBlock(sum, biases, count);
      OffHeap.copyFromArray(result, 0, sum.out + offset, count);
    }
  }

  private void addBlock(RowSum sum, int biases, int words) {
    float[] weights = sum.weights;
    int end = biases + sum.count;
    int whole = INTS.loopBound(words);
    for (int word = 0; word < whole; word += LANES) {
      FloatVector even = FloatVector.zero(FLOATS);
      FloatVector odd = FloatVector.zero(FLOATS);
      if (biases > 0) {
        IntVector first = IntVector.fromArray(INTS, rows, word);
        FloatVector biasEven = even(first);
        FloatVector biasOdd = odd(first);
        if (biases > 1) {
          IntVector second = IntVector.fromArray(INTS, rows, BLOCK_WORDS + word);
          biasEven = biasEven.add(even(second));
          biasOdd = biasOdd.add(odd(second));
        }
        even = even.add(biasEven);
        odd = odd.add(biasOdd);
      }
      if (weights == null) {
        for (int row = biases; row < end; row++) {
          IntVector pair = IntVector.fromArray(INTS, rows, BLOCK_WORDS * row + word);
          even = even.add(even(pair));
          odd = odd.add(odd(pair));
        }
      } else {
        for (int row = biases; row < end; row++) {
          IntVector pair = IntVector.fromArray(INTS, rows, BLOCK_WORDS * row + word);
          FloatVector weight = FloatVector.broadcast(FLOATS, weights[row - biases]);
          even = even(pair).fma(weight, even);
          odd = odd(pair).fma(weight, odd);
        }
      }
      rounded(even)
          .lanewise(VectorOperators.LSHR, 16)
          .or(rounded(odd).and(UPPER_HALF))
          .intoArray(result, word);
    }
    for (int word = whole; word < words; word++) {
      result[word] = addWord(weights, biases, end, word);
    }
  }

  /** The last words of a row that do not fill a vector. */
  private int addWord(
      float @org.jspecify.annotations.Nullable [] weights, int biases, int end, int word) {
    float even = 0f;
    float odd = 0f;
    if (biases > 0) {
      float biasEven = evenOf(rows[word]);
      float biasOdd = oddOf(rows[word]);
      if (biases > 1) {
        biasEven += evenOf(rows[BLOCK_WORDS + word]);
        biasOdd += oddOf(rows[BLOCK_WORDS + word]);
      }
      even += biasEven;
      odd += biasOdd;
    }
    for (int row = biases; row < end; row++) {
      int pair = rows[BLOCK_WORDS * row + word];
      if (weights == null) {
        even += evenOf(pair);
        odd += oddOf(pair);
      } else {
        even = Math.fma(weights[row - biases], evenOf(pair), even);
        odd = Math.fma(weights[row - biases], oddOf(pair), odd);
      }
    }
    return (Bf16.fromFloat(even) & 0xFFFF) | Bf16.fromFloat(odd) << 16;
  }

  @Override
  public void reduceFloats(FloatRowSum sum) {
    if (floatResult.length < sum.columns) {
      floatResult = new float[sum.columns];
      shortResult = new short[sum.columns];
    }
    int whole = FLOATS.loopBound(sum.columns);
    for (int column = 0; column < whole; column += LANES) {
      FloatVector total = FloatVector.zero(FLOATS);
      for (int row = 0; row < sum.count; row++) {
        total =
            FloatVector.fromArray(FLOATS, sum.rows, row * sum.columns + column)
                .fma(FloatVector.broadcast(FLOATS, sum.weights[row]), total);
      }
      total.intoArray(floatResult, column);
    }
    for (int column = whole; column < sum.columns; column++) {
      float total = 0f;
      for (int row = 0; row < sum.count; row++) {
        total = Math.fma(sum.weights[row], sum.rows[row * sum.columns + column], total);
      }
      floatResult[column] = total;
    }
    for (int column = 0; column < sum.columns; column++) {
      shortResult[column] = Bf16.fromFloat(floatResult[column]);
    }
    OffHeap.copyFromArray(shortResult, 0, sum.out, sum.columns);
  }

  private static FloatVector even(IntVector pair) {
    return pair.lanewise(VectorOperators.LSHL, 16).reinterpretAsFloats();
  }

  private static FloatVector odd(IntVector pair) {
    return pair.and(UPPER_HALF).reinterpretAsFloats();
  }

  private static float evenOf(int pair) {
    return Float.intBitsToFloat(pair << 16);
  }

  private static float oddOf(int pair) {
    return Float.intBitsToFloat(pair & UPPER_HALF);
  }

  /** Rounds to BF16 in the upper half of each lane, as {@link Bf16#fromFloat} does. */
  private static IntVector rounded(FloatVector value) {
    IntVector bits = value.reinterpretAsInts();
    VectorMask<Integer> nan = value.test(VectorOperators.IS_NAN).cast(INTS);
    return bits.add(bits.lanewise(VectorOperators.LSHR, 16).and(1))
        .add(0x7FFF)
        .blend(Bf16.NAN << 16, nan);
  }

  @Override
  public String description() {
    return "Vector API, " + INTS.vectorBitSize() + " bits";
  }
}
