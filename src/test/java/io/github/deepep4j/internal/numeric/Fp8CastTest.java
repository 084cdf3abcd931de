package io.github.deepep4j.internal.numeric;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.github.deepep4j.fixtures.RecordedVectors;
import io.github.deepep4j.internal.numeric.Fp8Cast.Scaling;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

final class Fp8CastTest {
  private static final int GROUP = 128;

  /** A cast row, its arrays dirty before the cast as scratch arrays are. */
  private record Cast(byte[] codes, int[] scaleWords, Scaling scaling, int hidden) {
    static Cast of(short[] row, Scaling scaling) {
      byte[] codes = new byte[row.length];
      int[] scaleWords = new int[Fp8Cast.scaleWords(row.length, scaling)];
      Arrays.fill(codes, (byte) 0x55);
      Arrays.fill(scaleWords, 0x55555555);
      Fp8Cast.castRow(row, row.length, scaling, codes, scaleWords);
      return new Cast(codes, scaleWords, scaling, row.length);
    }

    float scale(int group) {
      return Fp8Cast.scale(scaling, scaleWords, group);
    }

    float[] values() {
      float[] values = new float[hidden];
      Fp8Cast.dequantizeRow(codes, scaleWords, scaling, hidden, values);
      return values;
    }
  }

  private static short[] constantRow(int hidden, float value) {
    short[] row = new short[hidden];
    Arrays.fill(row, Bf16.fromFloat(value));
    return row;
  }

  @Test
  void shouldEqualTheRecording_whenItsRowsAreCast() {
    int rows = 64;
    int hidden = 1024;
    ByteBuffer recorded =
        ByteBuffer.wrap(RecordedVectors.bytes("cast/cast.bin")).order(ByteOrder.LITTLE_ENDIAN);
    short[][] x = new short[rows][hidden];
    for (short[] row : x) {
      recorded.asShortBuffer().get(row);
      recorded.position(recorded.position() + hidden * Short.BYTES);
    }
    for (Scaling scaling : new Scaling[] {Scaling.PLAIN, Scaling.ROUNDED}) {
      byte[][] codes = new byte[rows][hidden];
      for (byte[] row : codes) {
        recorded.get(row);
      }
      for (int row = 0; row < rows; row++) {
        Cast cast = Cast.of(x[row], scaling);
        assertThat(cast.codes).as("%s row %d", scaling, row).isEqualTo(codes[row]);
        for (int word : cast.scaleWords) {
          assertThat(word).as("%s row %d", scaling, row).isEqualTo(recorded.getInt());
        }
      }
    }
    assertThat(recorded.remaining()).isEqualTo(256 * Float.BYTES);
  }

  @ParameterizedTest
  @CsvSource({
    "0, 2.2321429e-7, 0x1p-22, 105",
    "1e-5, 2.2321429e-7, 0x1p-22, 105",
    "0.5, 0.00111607143, 0.001953125, 118",
    "1, 0.00223214286, 0.00390625, 119",
    "3, 0.00669642857, 0.0078125, 120",
    "100, 0.223214286, 0.25, 125",
    "448, 1, 1, 127",
    "896, 2, 2, 128"
  })
  void shouldStoreTheTabulatedScales_whenAmaxIs(
      float amax, float plain, String rounded, int exponent) {
    short[] row = constantRow(GROUP, -amax);
    // The table has amax/448; the rounded constant and the rounded product may move two units.
    assertThat(Cast.of(row, Scaling.PLAIN).scale(0)).isCloseTo(plain, within(2 * Math.ulp(plain)));
    assertThat(Cast.of(row, Scaling.ROUNDED).scale(0)).isEqualTo(Float.parseFloat(rounded + "f"));
    assertThat(Cast.of(row, Scaling.UE8M0).scaleWords).containsExactly(exponent);
  }

  @Test
  void shouldMultiplyByTheRoundedConstant_whenPlain() {
    // One unit above 3/448, since the float nearest 1/448 is above it, too.
    assertThat(Cast.of(constantRow(GROUP, 3f), Scaling.PLAIN).scale(0))
        .isEqualTo(Math.nextUp(3f / 448f));
  }

  @Test
  void shouldPackFourExponentsToAnInt_whenUe8m0() {
    short[] row = new short[6 * GROUP];
    float[] amax = {448f, 896f, 1f, 0f, 100f, 0.5f};
    for (int group = 0; group < amax.length; group++) {
      row[group * GROUP + group] = Bf16.fromFloat(amax[group]);
    }
    Cast cast = Cast.of(row, Scaling.UE8M0);
    assertThat(cast.scaleWords)
        .containsExactly(105 << 24 | 119 << 16 | 128 << 8 | 127, 118 << 8 | 125);
    Cast rounded = Cast.of(row, Scaling.ROUNDED);
    assertThat(cast.codes).isEqualTo(rounded.codes);
    assertThat(cast.values()).isEqualTo(rounded.values());
  }

  @ParameterizedTest
  @CsvSource({"128, 1, 1", "512, 4, 1", "640, 5, 2", "7168, 56, 14"})
  void shouldCountScaleWords_whenHiddenIs(int hidden, int floats, int packs) {
    assertThat(Fp8Cast.scaleWords(hidden, Scaling.PLAIN)).isEqualTo(floats);
    assertThat(Fp8Cast.scaleWords(hidden, Scaling.ROUNDED)).isEqualTo(floats);
    assertThat(Fp8Cast.scaleWords(hidden, Scaling.UE8M0)).isEqualTo(packs);
  }

  @ParameterizedTest
  @EnumSource(Scaling.class)
  void shouldLeaveNanOutOfTheMaximum_whenAGroupHoldsOne(Scaling scaling) {
    short[] row = constantRow(2 * GROUP, 1f);
    short[] clean = row.clone();
    row[3] = (short) 0x7FC0;
    row[5] = (short) 0xFFFF;
    Cast cast = Cast.of(row, scaling);
    Cast expected = Cast.of(clean, scaling);
    assertThat(cast.scaleWords).isEqualTo(expected.scaleWords);
    for (int i = 0; i < row.length; i++) {
      assertThat(cast.codes[i]).isEqualTo(i == 3 || i == 5 ? 0x7F : expected.codes[i]);
    }
    assertThat(cast.values()[5]).isNaN();
  }

  @ParameterizedTest
  @EnumSource(Scaling.class)
  void shouldUseTheSmallestAmax_whenAGroupIsAllNan(Scaling scaling) {
    Cast cast = Cast.of(constantRow(GROUP, Float.NaN), scaling);
    assertThat(cast.scaleWords).isEqualTo(Cast.of(new short[GROUP], scaling).scaleWords);
    assertThat(cast.codes).containsOnly(0x7F);
  }

  @ParameterizedTest
  @EnumSource(Scaling.class)
  void shouldStoreInfinityAndNanCodes_whenAGroupHoldsAnInfinity(Scaling scaling) {
    short[] row = constantRow(3 * GROUP, 1f);
    row[GROUP + 7] = (short) 0xFF80;
    Cast cast = Cast.of(row, scaling);
    assertThat(cast.scale(1)).isEqualTo(Float.POSITIVE_INFINITY);
    assertThat(Arrays.copyOfRange(cast.codes, GROUP, 2 * GROUP)).containsOnly(0x7F);
    float[] values = cast.values();
    for (int i = 0; i < values.length; i++) {
      assertThat(Float.isNaN(values[i])).isEqualTo(i / GROUP == 1);
    }
    if (scaling == Scaling.UE8M0) {
      assertThat(cast.scaleWords[0] >>> 8 & 0xFF).isEqualTo(255);
    }
  }

  @Test
  void shouldRefuse_whenHiddenIsNoMultipleOf128() {
    assertThatThrownBy(
            () -> Fp8Cast.castRow(new short[130], 130, Scaling.PLAIN, new byte[130], new int[2]))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("128")
        .hasMessageContaining("130");
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldStayWithinHalfAStep_whenRandomRowsComeBack(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    short[] row = new short[7 * GROUP];
    for (int group = 0; group < 7; group++) {
      double magnitude = Math.scalb(1.0, random.nextInt(-120, 120));
      for (int i = group * GROUP; i < (group + 1) * GROUP; i++) {
        row[i] = Bf16.fromFloat((float) (random.nextDouble(-1, 1) * magnitude));
      }
    }
    for (Scaling scaling : Scaling.values()) {
      Cast cast = Cast.of(row, scaling);
      float[] values = cast.values();
      for (int i = 0; i < row.length; i++) {
        double x = Bf16.toFloat(row[i]);
        double smallestStep = Math.scalb((double) cast.scale(i / GROUP), -9);
        // Half a step: 2^-4 of a normal value, half the grid of the subnormals; float32 rounding.
        double bound = Math.max(Math.abs(x) / 16, smallestStep / 2) * (1 + 1e-6);
        assertThat(Math.abs(values[i] - x)).as("%s %d of %a", scaling, i, x).isLessThan(bound);
      }
    }
  }
}
