package io.github.deepep4j.internal.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.internal.numeric.Fp8Cast;
import io.github.deepep4j.internal.numeric.Fp8Cast.Scaling;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The caster that this JVM's flags give against the definition, bit by bit. */
final class VectorRowCasterTest {
  private final RowCaster caster = RowReducers.bestCaster();

  @Test
  void shouldBeTheVectorOne_whenTheModuleIsThere() {
    boolean there = ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();
    assertThat(caster.getClass().getSimpleName().equals("VectorRowCaster")).isEqualTo(there);
  }

  @ParameterizedTest
  @EnumSource(Scaling.class)
  void shouldEqualTheDefinition_whenEveryBf16ValueMeetsEveryKindOfGroup(Scaling scaling) {
    // Each value in a group whose largest magnitude is another power of two, or the value itself.
    short[] row = new short[Fp8Cast.GROUP_CHANNELS * 512];
    for (int round = 0; round < 64; round++) {
      short companion = (short) (round == 0 ? 0 : (127 - 32 + round) << 7);
      for (int first = 0; first < 0x10000; first += row.length / 2) {
        for (int i = 0; i < row.length; i++) {
          row[i] = (short) (first + i / 2);
        }
        for (int group = 0; group < row.length; group += Fp8Cast.GROUP_CHANNELS) {
          row[group + round] = companion;
        }
        assertSame(row, scaling);
      }
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldEqualTheDefinition_whenRowsAreRandom(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    short[] row = new short[Fp8Cast.GROUP_CHANNELS * (1 + random.nextInt(60))];
    int exponents = 1 + random.nextInt(254);
    for (int i = 0; i < row.length; i++) {
      row[i] = (short) (random.nextInt(2) << 15 | random.nextInt(exponents << 7));
    }
    if (random.nextBoolean()) {
      row[random.nextInt(row.length)] = (short) 0x7FC0; // a NaN
      row[random.nextInt(row.length)] = (short) 0xFF80; // minus infinity
    }
    for (Scaling scaling : Scaling.values()) {
      assertSame(row, scaling);
    }
  }

  private void assertSame(short[] row, Scaling scaling) {
    int words = Fp8Cast.scaleWords(row.length, scaling);
    byte[] codes = new byte[row.length];
    byte[] expectedCodes = new byte[row.length];
    int[] scaleWords = new int[words];
    int[] expectedWords = new int[words];
    Arrays.fill(codes, (byte) 0x55);
    Arrays.fill(scaleWords, 0x55555555);
    caster.castRow(row, row.length, scaling, codes, scaleWords);
    Fp8Cast.castRow(row, row.length, scaling, expectedCodes, expectedWords);
    assertThat(codes).isEqualTo(expectedCodes);
    assertThat(scaleWords).isEqualTo(expectedWords);
  }
}
