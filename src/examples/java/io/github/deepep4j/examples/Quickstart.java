package io.github.deepep4j.examples;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.Tensor;
import java.util.Arrays;

/** Four ranks as threads: tokens travel to their experts, come back multiplied, and are summed. */
public final class Quickstart {
  private Quickstart() {}

  /**
   * Runs it and prints one checksum per rank.
   *
   * @param args none
   */
  public static void main(String[] args) {
    // 8 experts, two on each rank; rows of 16 BF16 values; at most 4 tokens per rank.
    BufferOptions options = BufferOptions.of(8, 16, 4).expertMajor();
    LocalGroup.run(
        4,
        group -> {
          short[] ones = new short[4 * 16];
          Arrays.fill(ones, bf16(1f));
          int[] experts = {0, 1, 2, 3, 4, 5, 6, 7}; // two for each token
          float[] gate = {.5f, .5f, .5f, .5f, .5f, .5f, .5f, .5f};
          try (Buffer buffer = Buffer.create(group, options);
              Tensor x = Tensor.copyOf(ones, 4, 16);
              Tensor topkIdx = Tensor.copyOf(experts, 4, 2);
              Tensor topkWeights = Tensor.copyOf(gate, 4, 2);
              DispatchResult rows =
                  buffer.dispatch(
                      x, topkIdx, topkWeights, DispatchOptions.defaults().expertMajor(1));
              DispatchHandle handle = rows.handle()) {
            short[] y = rows.x().toShorts(); // what arrived here, ordered by expert
            int[] offsets = rows.expertOffsets().toInts();
            for (int local = 0; local < 2; local++) {
              int factor = group.rank() * 2 + local + 1; // expert e multiplies by e + 1
              for (int i = offsets[local] * 16; i < offsets[local + 1] * 16; i++) {
                y[i] = bf16(factor * Float.intBitsToFloat(y[i] << 16));
              }
            }
            Tensor expertOutput = buffer.combineInput(handle, null).copyFrom(y);
            try (CombineResult sums =
                buffer.combine(expertOutput, handle, CombineOptions.defaults().weighted())) {
              float checksum = 0;
              for (short bits : sums.combined().toShorts()) {
                checksum += Float.intBitsToFloat(bits << 16);
              }
              // Tokens come back as the means 1.5, 3.5, 5.5 and 7.5 of their experts' factors.
              System.out.println("rank " + group.rank() + ": " + checksum + " (expected 288.0)");
            }
          }
        });
  }

  /** The upper half of a float's bits: exact for the small integers used here. */
  private static short bf16(float value) {
    return (short) (Float.floatToIntBits(value) >>> 16);
  }
}
