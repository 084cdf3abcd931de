package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.numeric.Fp8Cast;

/**
 * The arithmetic of the cast to FP8. Implementations give the same bits: {@link Fp8Cast#castRow} is
 * the definition, the vector one is proved against it. An instance serves one thread.
 */
@FunctionalInterface
public interface RowCaster {
  /** Casts one row, as {@link Fp8Cast#castRow} does. */
  void castRow(short[] row, int hidden, Fp8Cast.Scaling scaling, byte[] codes, int[] scaleWords);
}
