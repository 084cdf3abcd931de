package io.github.deepep4j.internal.numeric;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

final class Bf16Test {
  private static final int ALL = 1 << 16;

  /** Nearest of the two neighbouring BF16 values, in double arithmetic; ties to the even one. */
  private static short nearest(float value) {
    int lower = Float.floatToRawIntBits(value) >>> 16; // truncated towards zero
    double below = wide(lower);
    double above = wide(lower + 1);
    double toBelow = Math.abs(value - below);
    double toAbove = Math.abs(above - value);
    if (toBelow == toAbove) {
      return (short) ((lower & 1) == 0 ? lower : lower + 1);
    }
    return (short) (toBelow < toAbove ? lower : lower + 1);
  }

  /** A finite magnitude, or 2^128 where the next BF16 is infinite. */
  private static double wide(int bits) {
    float value = Float.intBitsToFloat(bits << 16);
    return Float.isInfinite(value) ? Math.copySign(0x1p128, value) : value;
  }

  @Test
  void shouldRoundTripEveryValue_whenWidenedAndNarrowed() {
    for (int bits = 0; bits < ALL; bits++) {
      float value = Bf16.toFloat((short) bits);
      assertThat(Float.floatToRawIntBits(value)).isEqualTo(bits << 16);
      short expected = Float.isNaN(value) ? (short) 0x7FFF : (short) bits;
      assertThat(Bf16.fromFloat(value)).as("bits %x", bits).isEqualTo(expected);
    }
  }

  @Test
  void shouldRoundToNearestEven_whenBetweenAnyTwoNeighbours() {
    int[] fractions = {1, 0x7FFF, 0x8000, 0x8001, 0xFFFF};
    for (int bits = 0; bits < ALL; bits++) {
      if ((bits & 0x7FFF) >= 0x7F80) {
        continue;
      }
      for (int fraction : fractions) {
        float value = Float.intBitsToFloat(bits << 16 | fraction);
        assertThat(Bf16.fromFloat(value)).as("float %a", value).isEqualTo(nearest(value));
      }
    }
  }

  @Test
  void shouldGiveOneNan_whenAnyNanIsNarrowed() {
    int[] nans = {0x7F80_0001, 0x7FC0_0000, 0x7FFF_FFFF, 0xFF80_0001, 0xFFC0_0000, 0xFFFF_FFFF};
    for (int bits : nans) {
      assertThat(Bf16.fromFloat(Float.intBitsToFloat(bits))).isEqualTo((short) 0x7FFF);
    }
  }

  @Test
  void shouldOverflowToInfinity_whenBeyondTheLargestValueByHalfAStep() {
    assertThat(Bf16.fromFloat(Float.MAX_VALUE)).isEqualTo((short) 0x7F80);
    assertThat(Bf16.fromFloat(-Float.MAX_VALUE)).isEqualTo((short) 0xFF80);
    assertThat(Bf16.fromFloat(Float.intBitsToFloat(0x7F7F_7FFF))).isEqualTo((short) 0x7F7F);
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldRoundToNearestEven_whenRandom(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    for (int i = 0; i < 5_000; i++) {
      float value = Float.intBitsToFloat(random.nextInt());
      if (Float.isFinite(value)) {
        assertThat(Bf16.fromFloat(value)).as("float %a", value).isEqualTo(nearest(value));
      }
    }
  }
}
