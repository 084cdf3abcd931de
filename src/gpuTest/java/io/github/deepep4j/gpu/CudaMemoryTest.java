package io.github.deepep4j.gpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.DeviceMemory;
import io.github.deepep4j.DispatchLayout;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What buffers take on a GPU, and counts of a routing without a copy to the host. */
@Tag("gpu")
final class CudaMemoryTest {
  private static final BufferOptions OPTIONS = BufferOptions.of(8, 64, 64);

  static Stream<BufferOptions> options() {
    return Stream.of(
        OPTIONS,
        OPTIONS.expertMajor().normalRegions(3),
        OPTIONS.arenaBytes(1_000_001),
        OPTIONS.ranksPerNode(1),
        OPTIONS.ranksPerNode(1).stagingRows(2));
  }

  @Test
  void shouldTakeLess_whenFewerRowsMayBeOnTheirWay() {
    BufferOptions nodes = OPTIONS.ranksPerNode(1);
    assertThat(SizeHint.of(nodes.stagingRows(2), 2, TestDevice.gpu(0)).totalBytes())
        .isLessThan(SizeHint.of(nodes, 2, TestDevice.gpu(0)).totalBytes());
  }

  @ParameterizedTest
  @MethodSource("options")
  void shouldTakeWhatTheHintSays_whenABufferIsMade(BufferOptions options) {
    SizeHint hint = SizeHint.of(options, 2, TestDevice.gpu(0));
    LocalGroup.run(
        2,
        group -> {
          try (Buffer buffer = TestDevice.build(group, options, TestDevice.gpu(group.rank()))) {
            assertThat(buffer.statistics().windowBytes()).isEqualTo(hint.totalBytes());
          }
        });
  }

  @Test
  void shouldMakeBuffers_whenRanksHaveDifferentRoom() {
    LocalGroup.run(
        2,
        group -> {
          BufferOptions own =
              group.rank() == 0 ? OPTIONS.receiveCapacityRows(50) : OPTIONS.receiveCapacityRows(90);
          try (Buffer buffer = TestDevice.build(group, own, TestDevice.gpu(group.rank()))) {
            assertThat(buffer.statistics().windowBytes())
                .isEqualTo(SizeHint.of(own, 2, buffer.device()).totalBytes());
          }
        });
  }

  @Test
  void shouldNameTheFirstMistakeAndCountAfterIt_whenARoutingIsBad() {
    LocalGroup.run(
        2,
        group -> {
          try (HostTensors memory = new HostTensors();
              Buffer buffer = TestDevice.build(group, OPTIONS, TestDevice.gpu(group.rank()))) {
            for (DType type : new DType[] {DType.INT32, DType.INT64}) {
              Tensor bad = memory.indices(new long[][] {{0, 1}, {3, 9}, {4, 4}}, 2, type);
              try (DispatchLayout counts = buffer.dispatchLayout(bad)) {
                throw new AssertionError("not refused: " + counts);
              } catch (EpException e) {
                assertThat(e.code()).isEqualTo(EpException.Code.REFUSED);
                assertThat(e)
                    .hasMessageContaining("rank " + group.rank() + ", token 1: expert index 9");
              }
              Tensor good = memory.indices(new long[][] {{0, 5}, {-1, -1}, {7, 4}}, 2, type);
              try (DispatchLayout counts = buffer.dispatchLayout(good)) {
                assertThat(TestDevice.read(counts.numTokensPerRank(), Tensor::toInts))
                    .containsExactly(1, 2);
                assertThat(TestDevice.read(counts.numTokensPerNode(), Tensor::toInts))
                    .containsExactly(2);
                assertThat(TestDevice.read(counts.numTokensPerExpert(), Tensor::toInts))
                    .containsExactly(1, 0, 0, 0, 1, 1, 0, 1);
                assertThat(TestDevice.read(counts.isTokenInRank(), Tensor::toBytes))
                    .containsExactly(1, 1, 0, 0, 0, 1);
              }
            }
          }
        });
  }

  /** A copy that went on after its host had left would write to memory that others have by then. */
  @Test
  void shouldEndACopy_whenTheThreadWasInterruptedBefore() {
    int[] values = new int[4 << 20];
    Arrays.setAll(values, i -> 31 * i);
    int[] read;
    Thread.currentThread().interrupt();
    try (Tensor host = Tensor.copyOf(values, values.length);
        Tensor there = DeviceMemory.copyOf(host, TestDevice.gpu(0));
        Tensor back = DeviceMemory.toHost(there)) {
      read = back.toInts();
    } finally {
      assertThat(Thread.interrupted()).isTrue();
    }
    assertThat(read).isEqualTo(values);
  }
}
