package io.github.deepep4j.internal.cpu.vector;

import io.github.deepep4j.internal.cpu.RowCaster;
import io.github.deepep4j.internal.numeric.Bf16;
import io.github.deepep4j.internal.numeric.Fp8Cast;
import io.github.deepep4j.internal.numeric.Fp8E4m3;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/**
 * The cast to FP8 in vector registers, group by group; {@link Fp8E4m3} tells how a value is
 * rounded. As in {@link VectorRowReducer} a 32-bit word holds two BF16 elements, which stay side by
 * side: the word of two values becomes a word whose low half is their two codes, and the low halves
 * are stored.
 *
 * <p>A group with a NaN or an infinity is left to the scalar cast, so that no lane here has either.
 *
 * <p>The same steps are written out for even and odd elements, because no vector may be passed to a
 * method here: one that the JIT happens not to inline gets its vectors as heap objects, 57 KB for
 * one row, and the cast takes several times as long.
 */
public final class VectorRowCaster implements RowCaster {
  private static final VectorSpecies<Integer> INTS = IntVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Short> PAIRS = ShortVector.SPECIES_PREFERRED;

  /** Half as wide: the low halves of a word vector. */
  private static final VectorSpecies<Short> CODE_PAIRS =
      VectorSpecies.of(short.class, VectorShape.forBitSize(INTS.vectorBitSize() / 2));

  private static final int EXPONENT_SHIFT = 23;
  private static final int SMALLEST = Fp8E4m3.SMALLEST_NORMAL_EXPONENT;
  private static final int DROPPED = Fp8E4m3.DROPPED_BITS;

  /** Made by name. */
  public VectorRowCaster() {}

  @Override
  public void castRow(
      short[] row, int hidden, Fp8Cast.Scaling scaling, byte[] codes, int[] scaleWords) {
    for (int first = 0; first < hidden; first += Fp8Cast.GROUP_CHANNELS) {
      int amaxBits = largestMagnitude(row, first);
      if (amaxBits >= Bf16.INFINITY_BITS) {
        Fp8Cast.castGroup(row, first, scaling, codes, scaleWords);
      } else {
        round(row, first, Fp8Cast.scaleGroup(amaxBits, first, scaling, scaleWords), codes);
      }
    }
  }

  /** Largest magnitude of a group as BF16 bits; a NaN counts as more than infinity. */
  private static int largestMagnitude(short[] row, int first) {
    ShortVector largest = ShortVector.zero(PAIRS);
    for (int i = first; i < first + Fp8Cast.GROUP_CHANNELS; i += PAIRS.length()) {
      largest = largest.max(ShortVector.fromArray(PAIRS, row, i).and((short) Bf16.MAGNITUDE_MASK));
    }
    return largest.reduceLanes(VectorOperators.MAX);
  }

  /** {@link Fp8E4m3#fromFloat} of a group's values times the multiplier; none is NaN. */
  private static void round(short[] row, int first, float multiplier, byte[] codes) {
    for (int i = first; i < first + Fp8Cast.GROUP_CHANNELS; i += PAIRS.length()) {
      IntVector pair = ShortVector.fromArray(PAIRS, row, i).reinterpretAsInts();

      IntVector even =
          pair.lanewise(VectorOperators.LSHL, 16)
              .reinterpretAsFloats()
              .mul(multiplier)
              .reinterpretAsInts();
      IntVector clamped = even.and(0x7FFF_FFFF).min(Fp8E4m3.MAX_BITS);
      IntVector exponent = clamped.lanewise(VectorOperators.LSHR, EXPONENT_SHIFT).max(SMALLEST);
      IntVector grid = exponent.add(DROPPED).lanewise(VectorOperators.LSHL, EXPONENT_SHIFT);
      IntVector steps =
          clamped.reinterpretAsFloats().add(grid.reinterpretAsFloats()).reinterpretAsInts();
      IntVector evenCode =
          exponent
              .sub(SMALLEST)
              .lanewise(VectorOperators.LSHL, 3)
              .add(steps.sub(grid))
              .or(even.lanewise(VectorOperators.LSHR, 24).and(0x80));

      IntVector odd =
          pair.and(0xFFFF_0000).reinterpretAsFloats().mul(multiplier).reinterpretAsInts();
      clamped = odd.and(0x7FFF_FFFF).min(Fp8E4m3.MAX_BITS);
      exponent = clamped.lanewise(VectorOperators.LSHR, EXPONENT_SHIFT).max(SMALLEST);
      grid = exponent.add(DROPPED).lanewise(VectorOperators.LSHL, EXPONENT_SHIFT);
      steps = clamped.reinterpretAsFloats().add(grid.reinterpretAsFloats()).reinterpretAsInts();
      IntVector oddCode =
          exponent
              .sub(SMALLEST)
              .lanewise(VectorOperators.LSHL, 3)
              .add(steps.sub(grid))
              .or(odd.lanewise(VectorOperators.LSHR, 24).and(0x80));

      evenCode
          .or(oddCode.lanewise(VectorOperators.LSHL, 8))
          .convertShape(VectorOperators.I2S, CODE_PAIRS, 0)
          .reinterpretAsBytes()
          .intoArray(codes, i);
    }
  }
}
