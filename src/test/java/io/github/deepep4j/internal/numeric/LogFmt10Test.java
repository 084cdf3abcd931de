package io.github.deepep4j.internal.numeric;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.zip.CRC32;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

final class LogFmt10Test {
  private static final int GROUP = 128;

  /** An encoded row, its arrays dirty before the encoding as scratch arrays are. */
  private record Encoded(int hidden, short[] ranges, byte[] payload, int usedBytes) {
    static Encoded of(short[] row) {
      short[] ranges = new short[row.length / GROUP * 2];
      byte[] payload = new byte[row.length * Short.BYTES];
      Arrays.fill(ranges, (short) 0x5555);
      Arrays.fill(payload, (byte) 0x55);
      int usedBytes = LogFmt10.encodeRow(row, row.length, ranges, payload);
      return new Encoded(row.length, ranges, payload, usedBytes);
    }

    float[] decode() {
      float[] values = new float[hidden];
      LogFmt10.decodeRow(ranges, payload, hidden, values);
      return values;
    }

    /** The 160 bits of the block that holds channels 16·block and up, of a row of cast chunks. */
    BigInteger block(int block) {
      int chunkBlocks = LogFmt10.chunkChannels(hidden) / 16;
      int offset = block / chunkBlocks * chunkBlocks * 32 + block % chunkBlocks * 20;
      BigInteger bits = BigInteger.ZERO;
      for (int i = 19; i >= 0; i--) {
        bits = bits.shiftLeft(8).or(BigInteger.valueOf(payload[offset + i] & 0xFF));
      }
      return bits;
    }

    int code(int channel) {
      return block(channel / 16).shiftRight(channel % 16 * 9).intValue() & 0x1FF;
    }

    boolean sign(int channel) {
      return block(channel / 16).testBit(144 + channel % 16);
    }
  }

  /** A row whose every group has amax 0.5 and amin 2^-10. */
  private static short[] castableRow(int hidden) {
    short[] row = new short[hidden];
    for (int i = 0; i < hidden; i++) {
      row[i] = Bf16.fromFloat(i % 2 == 0 ? 0.5f : 0x1p-10f);
    }
    return row;
  }

  private static double log2(double x) {
    return StrictMath.log(x) / StrictMath.log(2);
  }

  @ParameterizedTest
  @CsvSource({
    "0.5, 511, 0.5",
    "0.25, 454, 0.248983",
    "0.099609375, 379, 0.0994826",
    "0.10009765625, 380, 0.1007069", // nearest BF16 to 0.1, just above the midpoint 0.1000947
    "0.0009765625, 1, 0.0009765625",
    "0, 0, 0"
  })
  void shouldGiveTheTabulatedCodes_whenTheRangeIsTheTables(float value, int code, float decoded) {
    short[] row = castableRow(512);
    row[37] = Bf16.fromFloat(value);
    row[38] = Bf16.fromFloat(-value);
    Encoded encoded = Encoded.of(row);
    assertThat(encoded.code(37)).isEqualTo(code);
    assertThat(encoded.code(38)).isEqualTo(code);
    assertThat(encoded.sign(37)).isFalse();
    assertThat(encoded.sign(38)).isTrue();
    float[] values = encoded.decode();
    assertThat(values[37]).isCloseTo(decoded, within(decoded * 2e-6f));
    assertThat(values[38]).isEqualTo(-values[37]);
  }

  @Test
  void shouldGiveTheSameBits_whenRunOnAnyJvm() {
    SplittableRandom random = new SplittableRandom(41);
    short[] row = new short[7168];
    for (int i = 0; i < row.length; i++) {
      row[i] = Bf16.fromFloat((float) random.nextDouble(-0.9, 0.9) / (1 + i % 50));
    }
    Encoded encoded = Encoded.of(row);
    ByteBuffer bytes = ByteBuffer.allocate(row.length * Float.BYTES);
    bytes.asFloatBuffer().put(encoded.decode());
    CRC32 crc = new CRC32();
    crc.update(encoded.payload);
    crc.update(bytes);
    // Recorded on JDK 17.0.15; a JVM or CPU whose logarithms or powers differ changes it.
    assertThat(crc.getValue()).isEqualTo(0x9D9F7890L);
  }

  @Test
  void shouldPackCodesThenSigns_whenABlockIsCast() {
    short[] row = castableRow(512);
    int[] codes = {511, 1, 454, 511, 1, 1, 511, 511, 454, 454, 1, 511, 1, 1, 454, 511};
    float[] magnitudes = new float[512];
    magnitudes[1] = 0x1p-10f;
    magnitudes[454] = 0.25f;
    magnitudes[511] = 0.5f;
    BigInteger expected = BigInteger.ZERO;
    for (int i = 0; i < 16; i++) {
      boolean negative = i % 3 == 0;
      row[16 + i] = Bf16.fromFloat(negative ? -magnitudes[codes[i]] : magnitudes[codes[i]]);
      expected = expected.or(BigInteger.valueOf(codes[i]).shiftLeft(9 * i));
      expected = negative ? expected.setBit(144 + i) : expected;
    }
    Encoded encoded = Encoded.of(row);
    assertThat(encoded.block(1)).isEqualTo(expected);
    assertThat(encoded.usedBytes).isEqualTo(512 / 16 * 20);
    assertThat(encoded.payload[640]).as("first unused byte").isEqualTo((byte) 0x55);
  }

  @Test
  void shouldStoreMaximumThenMinimum_whenRangesAreTaken() {
    short[] row = castableRow(512);
    row[GROUP + 5] = Bf16.fromFloat(-0.75f);
    row[GROUP + 6] = Bf16.fromFloat(-0x1p-12f);
    Encoded encoded = Encoded.of(row);
    assertThat(encoded.ranges)
        .startsWith(
            Bf16.fromFloat(0.5f),
            Bf16.fromFloat(0x1p-10f),
            Bf16.fromFloat(0.75f),
            Bf16.fromFloat(0x1p-12f));
  }

  @ParameterizedTest
  @CsvSource({"512, 512", "1024, 1024", "1536, 512", "2048, 1024", "2560, 512", "7168, 1024"})
  void shouldChooseTheLargerChunk_whenItDividesTheRow(int hidden, int chunk) {
    assertThat(LogFmt10.chunkChannels(hidden)).isEqualTo(chunk);
  }

  @Test
  void shouldRefuse_whenHiddenIsNoMultipleOf512() {
    assertThatThrownBy(() -> LogFmt10.decodeRow(new short[10], new byte[1280], 640, new float[640]))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("512")
        .hasMessageContaining("640");
  }

  @ParameterizedTest
  @ValueSource(floats = {1f, -1f, 300f, Float.POSITIVE_INFINITY, Float.NaN})
  void shouldKeepOnlyThatChunkRaw_whenAMagnitudeIsOneOrMore(float value) {
    short[] row = castableRow(3 * 512);
    row[700] = Bf16.fromFloat(value);
    Encoded encoded = Encoded.of(row);
    assertThat(encoded.usedBytes).isEqualTo(640 + 1024 + 640);
    assertThat(LogFmt10.chunkBytes(encoded.ranges, 0, 512)).isEqualTo(640);
    assertThat(LogFmt10.chunkBytes(encoded.ranges, 1, 512)).isEqualTo(1024);
    float[] values = encoded.decode();
    for (int i = 0; i < row.length; i++) {
      if (i / 512 == 1) {
        assertThat(Float.floatToRawIntBits(values[i])).isEqualTo(row[i] << 16);
      } else {
        assertThat(values[i]).isEqualTo(Bf16.toFloat(row[i])); // both magnitudes have own codes
      }
    }
  }

  @ParameterizedTest
  @ValueSource(floats = {0f, -0f, 0.3f})
  void shouldStayRaw_whenOneGroupHasOneMagnitude(float value) {
    short[] row = castableRow(512);
    Arrays.fill(row, GROUP, 2 * GROUP, Bf16.fromFloat(value));
    Encoded encoded = Encoded.of(row);
    assertThat(encoded.usedBytes).isEqualTo(1024);
    float[] values = encoded.decode();
    for (int i = 0; i < row.length; i++) {
      assertThat(Float.floatToRawIntBits(values[i])).isEqualTo(row[i] << 16);
    }
  }

  @Test
  void shouldRoundTripSmallestMagnitudes_whenAGroupIsSubnormal() {
    short[] row = new short[512];
    for (int i = 0; i < row.length; i++) {
      row[i] = (short) (1 + i % 100); // subnormal BF16, 1 to 100 times 2^-133
    }
    Encoded encoded = Encoded.of(row);
    assertThat(encoded.usedBytes).isEqualTo(640);
    float[] values = encoded.decode();
    double step = log2(100) / 510;
    for (int i = 0; i < row.length; i++) {
      float x = Bf16.toFloat(row[i]);
      // Half a step up or down, and half a unit of the float32 subnormals.
      double bound = x * (Math.pow(2, step) - 1) / 2 + Float.MIN_VALUE;
      assertThat((double) values[i]).isCloseTo(x, within(bound));
    }
  }

  @Test
  void shouldSplitCodesAtTheLinearMidpoint_whenStepsAreWide() {
    // Zero in every group: 32 octaves in 510 steps, so each step holds several BF16 values.
    short[] row = new short[512];
    int checked = 0;
    for (int bits = Bf16.fromFloat(0x1p-30f); bits <= Bf16.fromFloat(0.5f); bits += 3) {
      Arrays.fill(row, (short) 0);
      for (int group = 0; group < 4; group++) {
        row[group * GROUP] = Bf16.fromFloat(0.5f);
      }
      row[1] = (short) bits;
      float decoded = Encoded.of(row).decode()[1];
      double x = Bf16.toFloat((short) bits);
      double ratio = Math.pow(2, 32.0 / 510);
      // No neighbouring code is nearer than the chosen one.
      assertThat(Math.abs(decoded - x)).isLessThanOrEqualTo(Math.abs(decoded * ratio - x) * 1.0001);
      assertThat(Math.abs(decoded - x)).isLessThanOrEqualTo(Math.abs(decoded / ratio - x) * 1.0001);
      checked++;
    }
    assertThat(checked).isGreaterThan(1_200);
  }

  @Test
  void shouldBecomeZero_whenBelowTheWidestRange() {
    short[] row = castableRow(512);
    row[3] = Bf16.fromFloat(0x1p-40f);
    row[4] = Bf16.fromFloat(-0x1p-100f);
    row[5] = Bf16.fromFloat(0x1p-33f); // 0.5 * 2^-32, the smallest that keeps a value
    float[] values = Encoded.of(row).decode();
    assertThat(values[3]).isEqualTo(0f);
    assertThat(values[4]).isEqualTo(-0f);
    assertThat(values[5]).isEqualTo(0x1p-33f);
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldStayWithinHalfAStep_whenRandomRowsComeBack(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    int[] widths = {512, 1024, 1536, 2048};
    short[] row = new short[widths[random.nextInt(widths.length)]];
    double[] smallest = new double[row.length / GROUP];
    double[] largest = new double[row.length / GROUP];
    Arrays.fill(smallest, 1);
    for (int i = 0; i < row.length; i++) {
      int group = i / GROUP;
      int octaves = 1 + group * 3; // from a narrow range to one wider than 32 octaves
      double magnitude = Math.pow(2, -0.01 - octaves * random.nextDouble());
      row[i] = Bf16.fromFloat((float) (random.nextBoolean() ? magnitude : -magnitude));
      double stored = Math.abs(Bf16.toFloat(row[i]));
      smallest[group] = Math.min(smallest[group], stored);
      largest[group] = Math.max(largest[group], stored);
    }
    Encoded encoded = Encoded.of(row);
    assertThat(encoded.usedBytes).isEqualTo(row.length / 16 * 20);
    float[] values = encoded.decode();
    for (int i = 0; i < row.length; i++) {
      int group = i / GROUP;
      double octaves = Math.min(32, log2(largest[group]) - log2(smallest[group]));
      double stepRatio = Math.pow(2, octaves / 510);
      double x = Bf16.toFloat(row[i]);
      double lost = largest[group] * 0x1p-32; // what a range of 32 octaves can't tell from zero
      double bound = Math.abs(x) * (stepRatio - 1) / 2 * 1.001 + lost;
      assertThat((double) values[i]).as("channel %d", i).isCloseTo(x, within(bound));
    }
  }
}
