package io.github.deepep4j.normal;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchLayout;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.fixtures.RecordedVectors;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Normal mode on two ranks against outputs recorded from V1 on a GPU: the same bits.
 *
 * <p>V1 was given FP8 rows that its test had cast with {@code 448 · (1/amax)} as multiplier, which
 * is not the multiplier of the cast that dispatch does; so they are only forwarded here.
 */
class RecordedNormalModeTest {
  private static final int NUM_RANKS = 2;
  private static final String BF16 = "normal_r2_bf16";
  private static final String FP8 = "normal_r2_fp8";

  @ParameterizedTest
  @ValueSource(strings = {BF16, FP8})
  void shouldCountAsRecorded_whenAskedForTheLayout(String name) {
    run(
        name,
        rank -> {
          try (DispatchLayout layout = rank.end.buffer.dispatchLayout(rank.topkIdx())) {
            assertThat(TestDevice.read(layout.numTokensPerRank(), Tensor::toInts))
                .isEqualTo(rank.recorded.ints("num_tokens_per_rank"));
            assertThat(TestDevice.read(layout.numTokensPerExpert(), Tensor::toInts))
                .isEqualTo(rank.recorded.ints("num_tokens_per_expert"));
            assertThat(TestDevice.read(layout.isTokenInRank(), Tensor::toBytes))
                .isEqualTo(bytes(rank.recorded, "is_token_in_rank"));
          }
        });
  }

  @Test
  void shouldDeliverAndSumTheRecordedBits_whenBf16() {
    run(
        BF16,
        rank -> {
          try (DispatchResult rows = rank.dispatch(rank.x(), DispatchOptions.defaults());
              DispatchHandle handle = rows.handle()) {
            assertThat(TestDevice.read(rows.x(), Tensor::toShorts))
                .isEqualTo(rank.recorded.shorts("recv_x"));
            rank.checkMetadata(rows);
            rank.checkCombine(handle);
          }
        });
  }

  @Test
  void shouldDeliverAndSumTheRecordedBits_whenFp8() {
    run(
        FP8,
        rank -> {
          Tensor x = rank.tensor(DType.FP8_E4M3, "x_fp8", rank.hidden());
          Tensor scales = rank.tensor(DType.FLOAT32, "x_scales", rank.hidden() / 128);
          try (DispatchResult rows = rank.dispatch(x, DispatchOptions.defaults().scales(scales));
              DispatchHandle handle = rows.handle()) {
            assertThat(TestDevice.read(rows.x(), Tensor::toBytes))
                .isEqualTo(bytes(rank.recorded, "recv_x_fp8"));
            assertThat(TestDevice.read(rows.scales(), Tensor::toInts))
                .isEqualTo(rank.recorded.ints("recv_x_scales"));
            rank.checkMetadata(rows);
            rank.checkCombine(handle);
          }
        });
  }

  private static byte[] bytes(RecordedVectors recorded, String name) {
    ByteBuffer data = recorded.tensor(name);
    byte[] bytes = new byte[data.remaining()];
    data.get(bytes);
    return bytes;
  }

  /** What a rank does. */
  private interface Body {
    void run(RecordedRank rank);
  }

  private static void run(String name, Body body) {
    RecordedVectors first = RecordedVectors.load(name, 0);
    BufferOptions options =
        BufferOptions.of(first.meta("experts"), first.meta("hidden"), 64)
            .maxTopk(first.meta("topk"));
    RankEnd.run(
        NUM_RANKS,
        options,
        end -> {
          try (RecordedRank rank = new RecordedRank(end, RecordedVectors.load(name, end.rank))) {
            body.run(rank);
          }
        });
  }

  /** One rank with what was recorded of it. */
  private static final class RecordedRank implements AutoCloseable {
    final RankEnd end;
    final RecordedVectors recorded;
    private final List<Tensor> made = new ArrayList<>();

    RecordedRank(RankEnd end, RecordedVectors recorded) {
      this.end = end;
      this.recorded = recorded;
    }

    int hidden() {
      return recorded.meta("hidden");
    }

    Tensor x() {
      return tensor(DType.BF16, "x", hidden());
    }

    Tensor topkIdx() {
      return tensor(DType.INT64, "topk_idx", recorded.meta("topk"));
    }

    Tensor tensor(DType dtype, String name, int columns) {
      ByteBuffer data = recorded.tensor(name);
      ByteBuffer direct = ByteBuffer.allocateDirect(data.remaining()).put(data).flip();
      int rows = direct.remaining() / dtype.bytes() / columns;
      Tensor tensor = TestDevice.place(Tensor.ofBuffer(direct, dtype, rows, columns));
      made.add(tensor);
      return tensor;
    }

    DispatchResult dispatch(Tensor x, DispatchOptions options) {
      return end.buffer.dispatch(
          x,
          topkIdx(),
          tensor(DType.FLOAT32, "topk_weights", recorded.meta("topk")),
          options.expertAlignment(recorded.meta("expert_alignment")));
    }

    void checkMetadata(DispatchResult rows) {
      assertThat(TestDevice.read(rows.topkIdx(), Tensor::toLongs))
          .isEqualTo(recorded.longs("recv_topk_idx"));
      assertThat(TestDevice.read(rows.topkWeights(), Tensor::toFloats))
          .isEqualTo(recorded.floats("recv_topk_weights"));
      assertThat(TestDevice.read(rows.sourceToken(), Tensor::toInts))
          .isEqualTo(recorded.ints("recv_src_idx"));
      assertThat(rows.tokensPerExpert())
          .isEqualTo(recorded.ints("recv_tokens_per_expert_aligned8"));
      // The recorded matrix is [source, destination]; this rank's prefixes are its column.
      int[] matrix = recorded.ints("rank_prefix_matrix");
      assertThat(TestDevice.read(rows.rankPrefix(), Tensor::toInts))
          .containsExactly(matrix[end.rank], matrix[NUM_RANKS + end.rank]);
    }

    void checkCombine(DispatchHandle handle) {
      Tensor y = tensor(DType.BF16, "y", hidden());
      Tensor weights = tensor(DType.FLOAT32, "recv_topk_weights", recorded.meta("topk"));
      try (CombineResult sums =
          end.buffer.combine(y, handle, CombineOptions.defaults().topkWeights(weights))) {
        assertThat(TestDevice.read(sums.combined(), Tensor::toShorts))
            .isEqualTo(recorded.shorts("combined_x"));
        assertThat(TestDevice.read(sums.topkWeights(), Tensor::toFloats))
            .isEqualTo(recorded.floats("combined_topk_weights"));
      }
      Tensor bias = tensor(DType.BF16, "bias", hidden());
      try (CombineResult sums =
          end.buffer.combine(y, handle, CombineOptions.defaults().bias(bias))) {
        assertThat(TestDevice.read(sums.combined(), Tensor::toShorts))
            .isEqualTo(recorded.shorts("combined_x_bias"));
      }
    }

    @Override
    public void close() {
      made.forEach(Tensor::close);
    }
  }
}
