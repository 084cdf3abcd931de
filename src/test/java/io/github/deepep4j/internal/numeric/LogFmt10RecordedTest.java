package io.github.deepep4j.internal.numeric;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.RecordedVectors;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

/**
 * LogFMT-10 against a recorded low-latency combine: every token's expert rows are encoded, decoded
 * and reduced as combine does it, {@code acc = fma(w, y, acc)} over its choices in order.
 *
 * <p>The recording comes from a GPU, whose logarithms differ in the last bits: a value near a
 * boundary may take the neighbouring code. So at least 99.9 % must be identical, and the rest as
 * near as one step of each term allows.
 */
final class LogFmt10RecordedTest {
  private static final int RANKS = 2;
  private static final int GROUP = 128;

  private final RecordedVectors[] ranks = {
    RecordedVectors.load("ll_r2_bf16", 0), RecordedVectors.load("ll_r2_bf16", 1)
  };
  private final int hidden = ranks[0].meta("hidden");
  private final int topk = ranks[0].meta("topk");
  private final int localExperts = ranks[0].meta("experts") / RANKS;

  private final short[] ranges = new short[hidden / GROUP * 2];
  private final byte[] payload = new byte[hidden * Short.BYTES];

  private final int chunkChannels = LogFmt10.chunkChannels(hidden);

  private int chunks;
  private int castChunks;

  /** What a token's combine gives, and how far off one step in each of its codes would be. */
  private record Combined(float[] sum, double[] stepError) {}

  /** The row that expert {@code expert} made of a token, BF16 {@code [hidden]}. */
  private short[] expertRow(int expert, int rank, int token) {
    RecordedVectors home = ranks[expert / localExperts];
    String name = "e" + expert % localExperts;
    int[] sources = home.ints(name + "_src");
    for (int row = 0; row < sources.length / 2; row++) {
      if (sources[2 * row] == rank && sources[2 * row + 1] == token) {
        return Arrays.copyOfRange(home.shorts(name + "_y"), row * hidden, (row + 1) * hidden);
      }
    }
    throw new AssertionError("expert " + expert + " has no row of token " + token);
  }

  private Combined combine(int rank, int token, boolean logFmt) {
    long[] experts = ranks[rank].longs("topk_idx");
    float[] weights = ranks[rank].floats("topk_weights");
    float[] sum = new float[hidden];
    double[] stepError = new double[hidden];
    float[] values = new float[hidden];
    for (int k = token * topk; k < (token + 1) * topk; k++) {
      if (experts[k] < 0) {
        continue;
      }
      short[] row = expertRow((int) experts[k], rank, token);
      if (logFmt) {
        LogFmt10.encodeRow(row, hidden, ranges, payload);
        LogFmt10.decodeRow(ranges, payload, hidden, values);
        countChunks();
      }
      for (int i = 0; i < hidden; i++) {
        float y = logFmt ? values[i] : Bf16.toFloat(row[i]);
        sum[i] = Math.fma(weights[k], y, sum[i]);
        if (logFmt && isCast(i / chunkChannels)) {
          stepError[i] += Math.abs(weights[k] * y) * (stepRatio(i / GROUP) - 1);
        }
      }
    }
    return new Combined(sum, stepError);
  }

  private boolean isCast(int chunk) {
    return LogFmt10.chunkBytes(ranges, chunk, chunkChannels) < chunkChannels * Short.BYTES;
  }

  private void countChunks() {
    for (int chunk = 0; chunk < hidden / chunkChannels; chunk++) {
      chunks++;
      castChunks += isCast(chunk) ? 1 : 0;
    }
  }

  private double stepRatio(int group) {
    double largest = Bf16.toFloat(ranges[2 * group]);
    double smallest = Bf16.toFloat(ranges[2 * group + 1]);
    return Math.pow(Math.min(largest / smallest, 0x1p32), 1.0 / 510);
  }

  private static double ulp(short bf16) {
    int next = (bf16 & 0x7FFF) + 1;
    return (double) Bf16.toFloat((short) next) - Bf16.toFloat((short) (next - 1));
  }

  @Test
  void shouldEqualTheRecording_whenNothingIsEncoded() {
    for (int rank = 0; rank < RANKS; rank++) {
      short[] recorded = ranks[rank].shorts("combined");
      for (int i = 0; i < recorded.length; i += hidden) {
        float[] sum = combine(rank, i / hidden, false).sum;
        for (int j = 0; j < hidden; j++) {
          assertThat(Bf16.fromFloat(sum[j])).isEqualTo(recorded[i + j]);
        }
      }
    }
  }

  @Test
  void shouldAgreeWithTheRecording_whenRowsTravelAsLogFmt() {
    int total = 0;
    int identical = 0;
    for (int rank = 0; rank < RANKS; rank++) {
      short[] recorded = ranks[rank].shorts("combined_logfmt");
      for (int i = 0; i < recorded.length; i += hidden) {
        Combined combined = combine(rank, i / hidden, true);
        for (int j = 0; j < hidden; j++) {
          short ours = Bf16.fromFloat(combined.sum[j]);
          short theirs = recorded[i + j];
          total++;
          if (ours == theirs) {
            identical++;
            continue;
          }
          double difference = Math.abs(Bf16.toFloat(ours) - Bf16.toFloat(theirs));
          assertThat(difference)
              .as("rank %d token %d channel %d", rank, i / hidden, j)
              .isLessThanOrEqualTo(combined.stepError[j] + ulp(theirs));
        }
      }
    }
    assertThat(castChunks).as("chunks that were cast").isGreaterThan(chunks / 2);
    assertThat(identical).as("of %d", total).isGreaterThanOrEqualTo((int) (total * 0.999));
  }
}
