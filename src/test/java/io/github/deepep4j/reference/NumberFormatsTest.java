package io.github.deepep4j.reference;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.RecordedVectors;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The oracle's own number formats against values from the formats' definitions. */
class NumberFormatsTest {
  @Test
  void shouldRoundToNearestEven_whenNarrowingToBf16() {
    assertThat(bf16(1f)).isEqualTo(0x3F80);
    assertThat(bf16(-0f)).isEqualTo(0x8000);
    assertThat(bf16(Float.intBitsToFloat(0x3F80_8000))).isEqualTo(0x3F80);
    assertThat(bf16(Float.intBitsToFloat(0x3F81_8000))).isEqualTo(0x3F82);
    assertThat(bf16(Float.intBitsToFloat(0x3F80_8001))).isEqualTo(0x3F81);
    assertThat(bf16(Float.MAX_VALUE)).isEqualTo(0x7F80);
    assertThat(bf16(Float.NEGATIVE_INFINITY)).isEqualTo(0xFF80);
    assertThat(bf16(Float.NaN)).isEqualTo(0x7FFF);
    assertThat(NumberFormats.bf16ToFloat((short) 1)).isEqualTo(Float.intBitsToFloat(1 << 16));
  }

  @Test
  void shouldSaturateAndRound_whenNarrowingToE4m3() {
    assertThat(NumberFormats.floatToE4m3(448f)).isEqualTo((byte) 0x7E);
    assertThat(NumberFormats.floatToE4m3(1e9f)).isEqualTo((byte) 0x7E);
    assertThat(NumberFormats.floatToE4m3(-1f)).isEqualTo((byte) 0xB8);
    assertThat(NumberFormats.floatToE4m3(Float.NaN)).isEqualTo((byte) 0x7F);
    // Halfway between 16 (code 0x58) and 18 (0x59), then between 18 and 20 (0x5A).
    assertThat(NumberFormats.floatToE4m3(17f)).isEqualTo((byte) 0x58);
    assertThat(NumberFormats.floatToE4m3(19f)).isEqualTo((byte) 0x5A);
    assertThat(NumberFormats.floatToE4m3((float) Math.pow(2, -10))).isZero();
  }

  /** The table of scales in the specification. */
  @ParameterizedTest
  @CsvSource({
    "0, 2.2321429e-7, 105",
    "0.5, 0.00111607143, 118",
    "1, 0.00223214286, 119",
    "3, 0.00669642857, 120",
    "100, 0.223214286, 125",
    "448, 1, 127",
    "896, 2, 128"
  })
  void shouldGiveTheScale_whenAmaxIsKnown(float amax, float plain, int exponent) {
    short[] row = new short[128];
    row[77] = NumberFormats.floatToBf16(-amax);
    // The table rounds its decimals; the bits are checked against the recorded cast.
    assertThat(scale(row, ReferenceCast.Kind.PLAIN))
        .isBetween(Float.floatToRawIntBits(plain) - 1, Float.floatToRawIntBits(plain) + 1);
    assertThat(scale(row, ReferenceCast.Kind.ROUNDED)).isEqualTo(exponent << 23);
    assertThat(scale(row, ReferenceCast.Kind.UE8M0)).isEqualTo(exponent);
  }

  /** Codes, scales and values recorded from an independent E4M3 implementation. */
  @Test
  void shouldGiveTheRecordedBits_whenCasting() {
    ByteBuffer recorded =
        ByteBuffer.wrap(RecordedVectors.bytes("cast/cast.bin")).order(ByteOrder.LITTLE_ENDIAN);
    short[][] x = new short[64][1024];
    for (short[] row : x) {
      for (int i = 0; i < row.length; i++) {
        row[i] = recorded.getShort();
      }
    }
    for (ReferenceCast.Kind kind : List.of(ReferenceCast.Kind.PLAIN, ReferenceCast.Kind.ROUNDED)) {
      byte[][] codes = new byte[64][1024];
      for (byte[] row : codes) {
        recorded.get(row);
      }
      for (int row = 0; row < x.length; row++) {
        ReferenceCast.Row cast = ReferenceCast.cast(x[row], kind);
        assertThat(cast.codes()).as("%s codes of row %d", kind, row).isEqualTo(codes[row]);
        for (int word : cast.scales()) {
          assertThat(word).as("%s scale of row %d", kind, row).isEqualTo(recorded.getInt());
        }
      }
    }
    for (int code = 0; code < 256; code++) {
      float value = recorded.getFloat();
      assertThat(NumberFormats.e4m3ToFloat(code))
          .as("code %d", code)
          .isEqualTo(Float.valueOf(value));
    }
    assertThat(recorded.hasRemaining()).isFalse();
  }

  private static int scale(short[] row, ReferenceCast.Kind kind) {
    return ReferenceCast.cast(row, kind).scales()[0];
  }

  private static int bf16(float value) {
    return NumberFormats.floatToBf16(value) & 0xFFFF;
  }
}
