package io.github.deepep4j.internal.numeric;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.RecordedVectors;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

final class Fp8E4m3Test {
  private static final int MAX_CODE = 0x7E;

  /** The code whose value is nearest, found by looking at all of them; ties to the even code. */
  private static byte nearest(float value) {
    if (Float.isNaN(value)) {
      return 0x7F;
    }
    double magnitude = Math.abs((double) value);
    int best = 0;
    for (int code = 1; code <= MAX_CODE; code++) {
      double distance = Math.abs(magnitude - Fp8E4m3.toFloat((byte) code));
      double bestDistance = Math.abs(magnitude - Fp8E4m3.toFloat((byte) best));
      if (distance < bestDistance || (distance == bestDistance && (code & 1) == 0)) {
        best = code;
      }
    }
    return (byte) (best | (Float.floatToRawIntBits(value) < 0 ? 0x80 : 0));
  }

  private static void assertNearest(float value) {
    assertThat(Fp8E4m3.fromFloat(value)).as("float %a", value).isEqualTo(nearest(value));
  }

  @Test
  void shouldDecodeAsRecorded_whenEveryCode() {
    byte[] recorded = RecordedVectors.bytes("cast/cast.bin");
    ByteBuffer values =
        ByteBuffer.wrap(recorded, recorded.length - 1024, 1024).order(ByteOrder.LITTLE_ENDIAN);
    for (int code = 0; code < 256; code++) {
      Float expected = values.getFloat(); // boxed: compared by Float.equals, where NaN equals NaN
      assertThat(Fp8E4m3.toFloat((byte) code)).as("code %x", code).isEqualTo(expected);
    }
  }

  @Test
  void shouldRoundTrip_whenEveryCode() {
    for (int code = 0; code < 256; code++) {
      byte expected = (code & 0x7F) == 0x7F ? 0x7F : (byte) code;
      assertThat(Fp8E4m3.fromFloat(Fp8E4m3.toFloat((byte) code))).isEqualTo(expected);
    }
  }

  @Test
  void shouldEncodeNearest_whenEveryBf16Value() {
    for (int bits = 0; bits < 1 << 16; bits++) {
      assertNearest(Bf16.toFloat((short) bits));
    }
  }

  @Test
  void shouldRoundTiesToEven_whenAtOrBesideEveryMidpoint() {
    for (int code = 0; code < MAX_CODE; code++) {
      float midpoint = (Fp8E4m3.toFloat((byte) code) + Fp8E4m3.toFloat((byte) (code + 1))) / 2;
      for (float value : new float[] {midpoint, Math.nextUp(midpoint), Math.nextDown(midpoint)}) {
        assertNearest(value);
        assertNearest(-value);
      }
    }
  }

  @Test
  void shouldSaturate_whenAboveTheLargestValue() {
    for (float value : new float[] {448f, 464f, 465f, 1e30f, Float.POSITIVE_INFINITY}) {
      assertThat(Fp8E4m3.fromFloat(value)).isEqualTo((byte) 0x7E);
      assertThat(Fp8E4m3.fromFloat(-value)).isEqualTo((byte) 0xFE);
    }
  }

  @Test
  void shouldGiveOneNan_whenAnyNan() {
    for (int bits : new int[] {0x7F80_0001, 0x7FC0_0000, 0xFF80_0001, 0xFFFF_FFFF}) {
      assertThat(Fp8E4m3.fromFloat(Float.intBitsToFloat(bits))).isEqualTo((byte) 0x7F);
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldEncodeNearest_whenRandom(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    for (int i = 0; i < 2_000; i++) {
      assertNearest(Float.intBitsToFloat(random.nextInt()));
      assertNearest((float) random.nextDouble(-500, 500));
      assertNearest((float) random.nextDouble(-0.05, 0.05)); // subnormals, and their neighbours
    }
  }
}
