package io.github.deepep4j.normal;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchLayout;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.fixtures.TinyRouting;
import io.github.deepep4j.reference.NumberFormats;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import org.junit.jupiter.api.Test;

/** The backend against the picture in {@link TinyRouting}, by hand and without the oracle. */
class TinyRoutingDispatchTest {
  private static final int HIDDEN = TinyRouting.HIDDEN;
  private final GlobalInput input = TinyRouting.input();
  private final BufferOptions options = BufferOptions.of(8, HIDDEN, 3).expertMajor();

  @Test
  void shouldCountAsDrawn_whenAskedForTheLayout() {
    run(
        (end, memory) -> {
          try (DispatchLayout layout = end.buffer.dispatchLayout(topkIdx(end.rank, memory))) {
            int[][] perRank = {{2, 2, 1, 0}, {0, 1, 1, 0}, {0, 0, 0, 0}, {1, 1, 1, 0}};
            int[] anywhere = {3, 1, 0, 1};
            assertThat(TestDevice.read(layout.numTokensPerRank(), Tensor::toInts))
                .isEqualTo(perRank[end.rank]);
            assertThat(TestDevice.read(layout.numTokensPerNode(), Tensor::toInts))
                .containsExactly(anywhere[end.rank]);
            if (end.rank == 0) {
              assertThat(TestDevice.read(layout.numTokensPerExpert(), Tensor::toInts))
                  .containsExactly(2, 1, 0, 2, 1, 0, 0, 0);
              assertThat(TestDevice.read(layout.isTokenInRank(), Tensor::toBytes))
                  .containsExactly(1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0);
            }
          }
        });
  }

  @Test
  void shouldDeliverAsDrawn_whenRankMajor() {
    float[][] values = {{1, 2, 31}, {1, 3, 11, 31}, {3, 11, 31}, {}};
    int[][] prefixes = {{2, 2, 2, 3}, {2, 3, 3, 4}, {1, 2, 2, 3}, {0, 0, 0, 0}};
    int[][] perExpert = {{4, 4}, {4, 4}, {4, 4}, {0, 0}};
    run(
        (end, memory) -> {
          try (DispatchResult rows =
                  dispatch(end, memory, DispatchOptions.defaults().expertAlignment(4));
              DispatchHandle handle = rows.handle()) {
            assertThat(rowValues(rows.x())).isEqualTo(values[end.rank]);
            assertThat(TestDevice.read(rows.rankPrefix(), Tensor::toInts))
                .isEqualTo(prefixes[end.rank]);
            assertThat(rows.tokensPerExpert()).isEqualTo(perExpert[end.rank]);
            if (end.rank == 1) {
              assertThat(TestDevice.read(rows.topkIdx(), Tensor::toLongs))
                  .containsExactly(-1, 1, -1, -1, -1, 1, 0, -1, -1, 1, -1, -1);
              assertThat(TestDevice.read(rows.topkWeights(), Tensor::toFloats))
                  .containsExactly(0, 0.25f, 0, 0, 0, 0.125f, 0.5f, 0, 0, 0.5f, 0, 0);
              assertThat(TestDevice.read(rows.sourceToken(), Tensor::toInts))
                  .containsExactly(0, 2, 0, 0);
            }
            try (CombineResult sums = end.buffer.combine(rows.x(), handle)) {
              float[][] sent = {{2, 2, 6}, {22, 0}, {}, {93}};
              assertThat(rowValues(sums.combined())).isEqualTo(sent[end.rank]);
            }
          }
        });
  }

  @Test
  void shouldDeliverAsDrawn_whenExpertMajor() {
    run(
        (end, memory) -> {
          try (DispatchResult rows =
                  dispatch(end, memory, DispatchOptions.defaults().expertMajor(2).zeroFill());
              DispatchHandle handle = rows.handle()) {
            if (end.rank == 0) {
              assertThat(rowValues(rows.x())).containsExactly(1, 2, 31, 0, 2, 0);
              assertThat(TestDevice.read(rows.sourceRank(), Tensor::toInts))
                  .containsExactly(0, 0, 3, -1, 0, -1);
              assertThat(TestDevice.read(rows.topkSlot(), Tensor::toInts))
                  .containsExactly(0, 1, 2, -1, 0, -1);
              assertThat(TestDevice.read(rows.weight(), Tensor::toFloats))
                  .containsExactly(0.5f, 0.25f, 0.125f, 0, 0.5f, 0);
              assertThat(TestDevice.read(rows.expertOffsets(), Tensor::toInts))
                  .containsExactly(0, 4, 6);
              assertThat(rows.tokensPerExpert()).containsExactly(3, 1);
            }
            if (end.rank == 3) {
              assertThat(rows.numReceived()).isZero();
              assertThat(TestDevice.read(rows.expertOffsets(), Tensor::toInts))
                  .containsExactly(0, 0, 0);
            }
            try (CombineResult sums = end.buffer.combine(rows.x(), handle)) {
              float[][] chosen = {{2, 4, 6}, {33, 0}, {}, {93}};
              assertThat(rowValues(sums.combined())).isEqualTo(chosen[end.rank]);
            }
          }
        });
  }

  /** What a rank does with memory of its own. */
  private interface Body {
    void run(RankEnd end, HostTensors memory);
  }

  private void run(Body body) {
    RankEnd.run(
        TinyRouting.NUM_RANKS,
        options,
        end -> {
          try (HostTensors memory = new HostTensors()) {
            body.run(end, memory);
          }
        });
  }

  private DispatchResult dispatch(RankEnd end, HostTensors memory, DispatchOptions call) {
    return end.buffer.dispatch(
        memory.bf16(input.rank(end.rank).x(), HIDDEN),
        topkIdx(end.rank, memory),
        memory.floats(input.rank(end.rank).topkWeights(), 3),
        call);
  }

  private Tensor topkIdx(int rank, HostTensors memory) {
    return memory.indices(input.rank(rank).topkIdx(), 3, DType.INT64);
  }

  /** The value of each row, all of whose elements must be equal. */
  private static float[] rowValues(Tensor rows) {
    short[] bits = TestDevice.read(rows, Tensor::toShorts);
    float[] values = new float[bits.length / HIDDEN];
    for (int i = 0; i < bits.length; i++) {
      values[i / HIDDEN] = NumberFormats.bf16ToFloat(bits[i]);
      assertThat(bits[i]).isEqualTo(bits[i / HIDDEN * HIDDEN]);
    }
    return values;
  }
}
