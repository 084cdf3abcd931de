package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.LogFmtTolerance;
import io.github.deepep4j.fixtures.RecordedVectors;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.Tensor;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Low-latency calls against outputs recorded from an independent implementation on two ranks: its
 * rows, scales and sums bit by bit; its LogFMT-10 sums as near as logarithms of another machine
 * allow.
 */
final class LowLatencyRecordedTest {
  private static final int RANKS = 2;

  /** One rank's recording and the tensors made of it. */
  private static final class Recording implements AutoCloseable {
    final RecordedVectors vectors;
    final int hidden;
    final int numTopk;
    final int maxTokens;
    final int localExperts;
    final int numTokens;
    private final List<Tensor> tensors = new ArrayList<>();

    Recording(String name, int rank) {
      vectors = RecordedVectors.load(name, rank);
      hidden = vectors.meta("hidden");
      numTopk = vectors.meta("topk");
      maxTokens = vectors.meta("max_tokens");
      localExperts = vectors.meta("experts") / RANKS;
      numTokens = vectors.longs("topk_idx").length / numTopk;
    }

    BufferOptions options() {
      return BufferOptions.of(localExperts * RANKS, hidden, maxTokens).lowLatency();
    }

    private Tensor keep(Tensor host) {
      Tensor tensor = TestDevice.place(host);
      tensors.add(tensor);
      return tensor;
    }

    Tensor x() {
      return keep(Tensor.copyOf(vectors.shorts("x"), numTokens, hidden));
    }

    Tensor topkIdx() {
      return keep(Tensor.copyOf(vectors.longs("topk_idx"), numTokens, numTopk));
    }

    Tensor topkWeights() {
      return keep(Tensor.copyOf(vectors.floats("topk_weights"), numTokens, numTopk));
    }

    Tensor y() {
      int perExpert = RANKS * maxTokens * hidden;
      short[] all = new short[localExperts * perExpert];
      for (int local = 0; local < localExperts; local++) {
        short[] rows = vectors.shorts("e" + local + "_y");
        System.arraycopy(rows, 0, all, local * perExpert, rows.length);
      }
      return keep(Tensor.copyOf(all, localExperts, (long) RANKS * maxTokens, hidden));
    }

    @Override
    public void close() {
      tensors.forEach(Tensor::close);
    }
  }

  @ParameterizedTest
  @CsvSource({"ll_r2_bf16,", "ll_r2_fp8,PLAIN", "ll_r2_fp8_round,ROUNDED", "ll_r2_fp8_ue8m0,UE8M0"})
  void shouldEqualTheRecording_whenDispatchedAndCombined(
      String name, @Nullable Quantization quantization) {
    LocalGroup.run(
        RANKS,
        group -> {
          try (Recording recording = new Recording(name, group.rank());
              Buffer buffer = TestDevice.build(group, recording.options())) {
            LowLatencyDispatchOptions options = LowLatencyDispatchOptions.defaults();
            options = quantization == null ? options : options.quantize(quantization);
            try (LowLatencyDispatch sent =
                    buffer.lowLatencyDispatch(recording.x(), recording.topkIdx(), options);
                LowLatencyCombine sums =
                    buffer.lowLatencyCombine(
                        recording.y(), recording.topkWeights(), sent.handle())) {
              checkRows(recording, sent, quantization);
              assertThat(TestDevice.read(sums.combined(), Tensor::toShorts))
                  .isEqualTo(recording.vectors.shorts("combined"));
            }
          }
        });
  }

  private static void checkRows(
      Recording recording, LowLatencyDispatch sent, @Nullable Quantization quantization) {
    int[] counts = TestDevice.read(sent.count(), Tensor::toInts);
    assertThat(counts).isEqualTo(recording.vectors.ints("recv_count"));
    long[] ranges = TestDevice.read(sent.layoutRange(), Tensor::toLongs);
    int[] sources = TestDevice.read(sent.sourceInfo(), Tensor::toInts);
    int places = RANKS * recording.maxTokens;
    for (int local = 0; local < recording.localExperts; local++) {
      String expert = "e" + local;
      int[] recorded = recording.vectors.ints(expert + "_src"); // pairs of rank and token
      for (int row = 0; row < counts[local]; row++) {
        long range = ranges[local * RANKS + recorded[2 * row]];
        assertThat(row).isBetween((int) (range >> 32), (int) (range >> 32) + (int) range - 1);
        assertThat(sources[local * places + row]).isEqualTo(recorded[2 * row + 1]);
      }
      assertThat(bytes(sent.x(), local, counts[local]))
          .as("rows of local expert %d", local)
          .isEqualTo(bytes(recording.vectors.tensor(expert + "_x")));
      if (quantization != null) {
        assertThat(scales(sent.scales(), local, counts[local]))
            .as("scales of local expert %d", local)
            .isEqualTo(recording.vectors.ints(expert + "_scales"));
      }
    }
  }

  /** The first rows of one expert as bytes. */
  private static byte[] bytes(Tensor x, int expert, int count) {
    long places = x.size(1);
    Tensor flat = x.view(new long[] {x.size(0) * places, x.size(2)}, new long[] {x.size(2), 1});
    return TestDevice.read(
        flat.rows(expert * places, expert * places + count), LowLatencyRecordedTest::hostBytes);
  }

  private static byte[] hostBytes(Tensor rows) {
    byte[] bytes = new byte[(int) rows.byteSize()];
    OffHeap.copyToArray(rows.address(), bytes, 0, bytes.length);
    return bytes;
  }

  private static byte[] bytes(ByteBuffer buffer) {
    byte[] all = new byte[buffer.remaining()];
    buffer.get(all);
    return all;
  }

  /** The first rows' scale words of one expert, row-major as they were recorded. */
  private static int[] scales(Tensor scales, int expert, int count) {
    long[] shape = {scales.size(0), scales.size(2), scales.size(1)};
    long[] strides = {scales.stride(0), scales.stride(2), scales.stride(1)};
    int[] columns = TestDevice.read(scales.view(shape, strides), Tensor::toInts);
    int words = (int) shape[1];
    int places = (int) shape[2];
    int[] rows = new int[count * words];
    for (int i = 0; i < rows.length; i++) {
      rows[i] = columns[(expert * words + i % words) * places + i / words];
    }
    return rows;
  }

  @Test
  void shouldAgreeWithTheRecording_whenCombinedAsLogFmt() {
    LocalGroup.run(
        RANKS,
        group -> {
          try (Recording recording = new Recording("ll_r2_bf16", group.rank());
              Buffer buffer = TestDevice.build(group, recording.options());
              LowLatencyDispatch sent =
                  buffer.lowLatencyDispatch(recording.x(), recording.topkIdx());
              LowLatencyCombine sums =
                  buffer.lowLatencyCombine(
                      recording.y(),
                      recording.topkWeights(),
                      sent.handle(),
                      LowLatencyCombineOptions.defaults().logFmt())) {
            LogFmtTolerance.check(
                "rank " + group.rank(),
                recording.vectors.shorts("combined_logfmt"),
                TestDevice.read(sums.combined(), Tensor::toShorts),
                logFmtBounds(recording, group.rank()));
          }
        });
  }

  /** How far one code step in each of its terms moves each sum: Σ |w·y|·(2^step − 1). */
  private static double[] logFmtBounds(Recording recording, int rank) {
    int hidden = recording.hidden;
    double[] bounds = new double[recording.numTokens * hidden];
    long[] experts = recording.vectors.longs("topk_idx");
    float[] weights = recording.vectors.floats("topk_weights");
    RecordedVectors[] homes = {
      RecordedVectors.load("ll_r2_bf16", 0), RecordedVectors.load("ll_r2_bf16", 1)
    };
    for (int choice = 0; choice < experts.length; choice++) {
      int expert = (int) experts[choice];
      if (expert < 0) {
        continue;
      }
      int token = choice / recording.numTopk;
      RecordedVectors home = homes[expert / recording.localExperts];
      String name = "e" + expert % recording.localExperts;
      int row = rowOf(home.ints(name + "_src"), rank, token);
      short[] y = home.shorts(name + "_y");
      for (int i = 0; i < hidden; i++) {
        bounds[token * hidden + i] +=
            LogFmtTolerance.term(weights[choice], y, row * hidden + i, row * hidden);
      }
    }
    return bounds;
  }

  private static int rowOf(int[] sources, int rank, int token) {
    for (int row = 0; row < sources.length / 2; row++) {
      if (sources[2 * row] == rank && sources[2 * row + 1] == token) {
        return row;
      }
    }
    throw new AssertionError("no row of rank " + rank + " token " + token);
  }
}
