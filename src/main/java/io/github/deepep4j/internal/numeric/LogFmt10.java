package io.github.deepep4j.internal.numeric;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * LogFMT-10: a BF16 row as a sign bit and a 9-bit code on a logarithmic scale per value; 10 bits
 * instead of 16 for low-latency combine's wire.
 *
 * <p><b>Code.</b> Each group of 128 channels spans its own range. With {@code log_amax = log2
 * max|x|}, {@code log_amin = max(log2 min|x|, log_amax − 32)} and {@code step = (log_amax −
 * log_amin) / 510}, code c ≥ 1 stands for {@code 2^((c − 1)·step + log_amin)} and code 0 for zero.
 * Encoding takes {@code floor(max(0, (log2|x| − log_amin)/step + 2 − log2((1 + 2^step)/2)/step))}:
 * the last term moves the boundary between two codes to the middle of their values rather than of
 * their logarithms. Group ranges travel beside the row as pairs of BF16 (max, min).
 *
 * <p><b>Raw chunks.</b> A row is cut into chunks of 1,024 channels, or 512 when its width is no
 * multiple of that. A chunk is cast only when every group's maximum is below 1 and above its
 * minimum. Otherwise it stays raw BF16: all zero, all of one magnitude, large, infinite or NaN
 * (whose bits are above infinity's, so it wins the maximum). Both sides derive this from the
 * ranges, hence no flag travels.
 *
 * <pre>
 * payload  | chunk 0 ..............| chunk 1 ..............| ...   chunk c at c * chunk * 2 bytes
 * raw      | chunk * 2 bytes: BF16, little-endian           |
 * cast     | chunk / 16 blocks of 20 bytes  | unused        |
 * block    | 16 codes of 9 bits, lowest bit first | 16 signs |     160 bits, little-endian
 * </pre>
 *
 * <p><b>Arithmetic.</b> A BF16 magnitude has a significand of 8 bits, so its logarithm is its
 * exponent plus one of 256 tabulated values. Powers of two for decoding are an own polynomial.
 * Everything is double arithmetic and {@link StrictMath}, which all JVMs compute alike; only the
 * decoded value is rounded to float32.
 */
public final class LogFmt10 {
  /** Channels that share one range. */
  public static final int GROUP_CHANNELS = 128;

  private static final int LARGE_CHUNK = 1024;
  private static final int SMALL_CHUNK = 512;
  private static final int BLOCK_CHANNELS = 16;
  private static final int BLOCK_BYTES = 20;
  private static final int CODE_BITS = 9;
  private static final int CODE_MASK = (1 << CODE_BITS) - 1;

  /** Steps between the codes of the smallest and the largest magnitude, 1 and 511. */
  private static final int STEPS = 510;

  /** A range covers at most this many powers of two; what is smaller becomes zero. */
  private static final double WIDEST_RANGE = 32;

  private static final long TWO_TO_52_BITS = Double.doubleToRawLongBits(0x1p52);
  private static final double LN2 = 0.6931471805599453;

  private static final int SIGN_MASK = 0x8000;
  private static final int ONE_BITS = 0x3F80;
  private static final int FRACTION_BITS = 7;
  private static final int IMPLICIT_BIT = 1 << FRACTION_BITS;
  private static final int EXPONENT_BIAS = 127;

  private static final VarHandle SHORTS = view(short[].class);
  private static final VarHandle INTS = view(int[].class);

  /** log2(s / 128) for every significand s; −infinity for 0. */
  private static final double[] LOG2_SIGNIFICAND = log2Significands();

  private LogFmt10() {}

  /**
   * Channels per chunk.
   *
   * @param hidden channels of a row, a multiple of 512
   * @return 1,024 or 512
   */
  public static int chunkChannels(int hidden) {
    if (hidden % SMALL_CHUNK != 0) {
      throw new IllegalArgumentException(
          "a LogFMT-10 row has a multiple of " + SMALL_CHUNK + " channels, not " + hidden);
    }
    return hidden % LARGE_CHUNK == 0 ? LARGE_CHUNK : SMALL_CHUNK;
  }

  /**
   * Bytes of a chunk's start that carry data.
   *
   * @param ranges the row's ranges {@code [hidden/128][2]}
   * @param chunk index of the chunk
   * @param chunkChannels channels per chunk
   * @return 20 bytes per 16 channels if the chunk is cast, 2 per channel if it is raw
   */
  public static int chunkBytes(short[] ranges, int chunk, int chunkChannels) {
    return isCast(ranges, chunk, chunkChannels)
        ? chunkChannels / BLOCK_CHANNELS * BLOCK_BYTES
        : chunkChannels * Short.BYTES;
  }

  /**
   * Encodes one row.
   *
   * @param row BF16 {@code [hidden]}
   * @param hidden channels, a multiple of 512
   * @param ranges receives (max|x|, min|x|) per group, BF16 {@code [hidden/128][2]}
   * @param payload receives the chunks, {@code [hidden * 2]} bytes, each at the offset that it has
   *     in a raw row
   * @return bytes of the payload that carry data
   */
  public static int encodeRow(short[] row, int hidden, short[] ranges, byte[] payload) {
    int chunkChannels = chunkChannels(hidden);
    for (int first = 0; first < hidden; first += GROUP_CHANNELS) {
      storeRange(row, first, ranges);
    }
    int usedBytes = 0;
    for (int first = 0; first < hidden; first += chunkChannels) {
      int chunk = first / chunkChannels;
      int offset = first * Short.BYTES;
      if (isCast(ranges, chunk, chunkChannels)) {
        for (int group = first; group < first + chunkChannels; group += GROUP_CHANNELS) {
          encodeGroup(
              row, group, ranges, payload, offset + (group - first) / BLOCK_CHANNELS * BLOCK_BYTES);
        }
      } else {
        for (int i = first; i < first + chunkChannels; i++) {
          SHORTS.set(payload, i * Short.BYTES, row[i]);
        }
      }
      usedBytes += chunkBytes(ranges, chunk, chunkChannels);
    }
    return usedBytes;
  }

  /**
   * Decodes one row.
   *
   * @param ranges the row's ranges {@code [hidden/128][2]}
   * @param payload the chunks, as {@link #encodeRow} lays them out
   * @param hidden channels, a multiple of 512
   * @param out receives the values {@code [hidden]}
   */
  public static void decodeRow(short[] ranges, byte[] payload, int hidden, float[] out) {
    int chunkChannels = chunkChannels(hidden);
    for (int first = 0; first < hidden; first += chunkChannels) {
      int offset = first * Short.BYTES;
      if (isCast(ranges, first / chunkChannels, chunkChannels)) {
        for (int group = first; group < first + chunkChannels; group += GROUP_CHANNELS) {
          decodeGroup(
              ranges, payload, offset + (group - first) / BLOCK_CHANNELS * BLOCK_BYTES, group, out);
        }
      } else {
        for (int i = first; i < first + chunkChannels; i++) {
          out[i] = Bf16.toFloat((short) SHORTS.get(payload, i * Short.BYTES));
        }
      }
    }
  }

  private static void storeRange(short[] row, int first, short[] ranges) {
    int largest = 0;
    int smallest = Bf16.MAGNITUDE_MASK;
    for (int i = first; i < first + GROUP_CHANNELS; i++) {
      int magnitude = row[i] & Bf16.MAGNITUDE_MASK;
      largest = Math.max(largest, magnitude);
      smallest = Math.min(smallest, magnitude);
    }
    int group = first / GROUP_CHANNELS;
    ranges[2 * group] = (short) largest;
    ranges[2 * group + 1] = (short) smallest;
  }

  private static boolean isCast(short[] ranges, int chunk, int chunkChannels) {
    int groups = chunkChannels / GROUP_CHANNELS;
    for (int group = chunk * groups; group < (chunk + 1) * groups; group++) {
      int largest = ranges[2 * group];
      if (largest >= ONE_BITS || largest <= ranges[2 * group + 1]) {
        return false;
      }
    }
    return true;
  }

  private static void encodeGroup(
      short[] row, int first, short[] ranges, byte[] payload, int offset) {
    int group = first / GROUP_CHANNELS;
    double logMin = logMin(ranges, group);
    double step = step(ranges, group);
    double midpoint = log2((1 + StrictMath.pow(2, step)) / 2);
    double codesPerOctave = 1 / step;
    double shift = 2 - (midpoint + logMin) * codesPerOctave;
    int at = offset;
    for (int i = first; i < first + GROUP_CHANNELS; i += BLOCK_CHANNELS) {
      long pending = 0;
      int pendingBits = 0;
      long signs = 0;
      for (int j = 0; j < BLOCK_CHANNELS; j++) {
        int bits = row[i + j];
        double position = log2Magnitude(bits & Bf16.MAGNITUDE_MASK) * codesPerOctave + shift;
        long code = position > 0 ? (long) position : 0; // the cast is floor
        signs |= (long) ((bits & SIGN_MASK) >>> 15) << j;
        pending |= code << pendingBits;
        pendingBits += CODE_BITS;
        if (pendingBits >= Integer.SIZE) {
          INTS.set(payload, at, (int) pending);
          at += Integer.BYTES;
          pending >>>= Integer.SIZE;
          pendingBits -= Integer.SIZE;
        }
      }
      INTS.set(payload, at, (int) (pending | signs << pendingBits));
      at += Integer.BYTES;
    }
  }

  private static void decodeGroup(
      short[] ranges, byte[] payload, int offset, int first, float[] out) {
    int group = first / GROUP_CHANNELS;
    double step = step(ranges, group);
    double logZero = logMin(ranges, group) - step; // where code 0 would be, were it not zero
    int at = offset;
    for (int i = first; i < first + GROUP_CHANNELS; i += BLOCK_CHANNELS) {
      int signs = (int) INTS.get(payload, at + BLOCK_BYTES - Integer.BYTES) >>> 16;
      long pending = 0;
      int pendingBits = 0;
      for (int j = 0; j < BLOCK_CHANNELS; j++) {
        if (pendingBits < CODE_BITS) {
          pending |= ((int) INTS.get(payload, at) & 0xFFFF_FFFFL) << pendingBits;
          at += Integer.BYTES;
          pendingBits += Integer.SIZE;
        }
        int code = (int) pending & CODE_MASK;
        pending >>>= CODE_BITS;
        pendingBits -= CODE_BITS;
        float magnitude = code == 0 ? 0f : (float) exp2(toDouble(code) * step + logZero);
        int sign = (signs >>> j & 1) << 31;
        out[i + j] = Float.intBitsToFloat(Float.floatToRawIntBits(magnitude) | sign);
      }
    }
  }

  private static double logMin(short[] ranges, int group) {
    double logMax = log2Magnitude(ranges[2 * group]);
    return Math.max(log2Magnitude(ranges[2 * group + 1]), logMax - WIDEST_RANGE);
  }

  private static double step(short[] ranges, int group) {
    return (log2Magnitude(ranges[2 * group]) - logMin(ranges, group)) / STEPS;
  }

  /** log2 of a finite BF16 magnitude; a subnormal has exponent 1 and no implicit bit. */
  private static double log2Magnitude(int magnitude) {
    int exponent = magnitude >>> FRACTION_BITS;
    int fraction = magnitude & (IMPLICIT_BIT - 1);
    int significand = exponent == 0 ? fraction : fraction | IMPLICIT_BIT;
    return LOG2_SIGNIFICAND[significand] + (toDouble(Math.max(exponent, 1)) - EXPONENT_BIAS);
  }

  /**
   * 2^x for −300 ≤ x ≤ 0: the nearest integer power times {@code e^y}, |y| ≤ ln2/2, whose Taylor
   * series is cut after y^9. The relative error, 1e-11, is far below half a unit of float32.
   */
  private static double exp2(double x) {
    double integer = Math.rint(x);
    double y = (x - integer) * LN2;
    double power = 1 / 362880.0;
    power = power * y + 1 / 40320.0;
    power = power * y + 1 / 5040.0;
    power = power * y + 1 / 720.0;
    power = power * y + 1 / 120.0;
    power = power * y + 1 / 24.0;
    power = power * y + 1 / 6.0;
    power = power * y + 1 / 2.0;
    power = power * y + 1;
    power = power * y + 1;
    return power * Double.longBitsToDouble(((long) integer + 1023) << 52);
  }

  /**
   * A non-negative int as a double: the fraction bits of 2^52 + x, less 2^52. A cast would do, but
   * JDK 17 compiles it into an instruction that waits for the previous value of its register, which
   * makes a decoding loop four times slower.
   */
  private static double toDouble(int x) {
    return Double.longBitsToDouble(TWO_TO_52_BITS | x) - 0x1p52;
  }

  private static double log2(double x) {
    return StrictMath.log(x) / LN2;
  }

  private static double[] log2Significands() {
    double[] logs = new double[2 * IMPLICIT_BIT];
    for (int significand = 0; significand < logs.length; significand++) {
      logs[significand] = log2((double) significand / IMPLICIT_BIT);
    }
    return logs;
  }

  private static VarHandle view(Class<?> arrayType) {
    return MethodHandles.byteArrayViewVarHandle(arrayType, ByteOrder.LITTLE_ENDIAN);
  }
}
