package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.fixtures.CountedRows;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Off-heap memory of buffers comes back, whatever was left open. */
final class BufferMemoryTest {
  private static final CountedRows ROWS = new CountedRows(3, 6, 64);
  private static final Set<Integer> ALL = Set.of(0, 1, 2);
  private static final BufferOptions OPTIONS = BufferOptions.of(6, 64, 8).maxTopk(2).lowLatency();

  private static Buffer cpuBuffer(LocalGroup group, BufferOptions options) {
    return Buffer.builder(group).options(options).device(Device.cpu()).build();
  }

  /** A rank's own tensors, freed with it. */
  private record Inputs(Tensor x, Tensor idx, Tensor weights) implements AutoCloseable {
    static Inputs of(int rank) {
      return new Inputs(ROWS.x(rank), ROWS.topkIdx(rank), ROWS.topkWeights(rank));
    }

    @Override
    public void close() {
      x.close();
      idx.close();
      weights.close();
    }
  }

  @Test
  void shouldFreeAll_whenClosedWithEverythingOpen() {
    long before = OffHeap.liveBytes();
    long allocations = OffHeap.liveAllocations();
    List<Tensor> tensors = new ArrayList<>();
    LocalGroup.run(
        3,
        group -> {
          try (Buffer buffer = cpuBuffer(group, OPTIONS);
              Inputs in = Inputs.of(group.rank());
              Tensor into = Tensor.allocate(DType.BF16, 40, 64)) {
            var first = buffer.dispatch(in.x(), in.idx(), in.weights());
            var owned =
                buffer.dispatch(
                    in.x(), in.idx(), in.weights(), DispatchOptions.defaults().into(into));
            var hooked =
                buffer.dispatch(in.x(), in.idx(), in.weights(), DispatchOptions.defaults().hook());
            Tensor y = buffer.combineInput(first.handle(), null);
            var sums = buffer.combine(first.x(), first.handle(), CombineOptions.defaults().hook());
            var lowLatency = buffer.lowLatencyDispatch(in.x(), in.idx());
            var lowLatencySums =
                buffer.lowLatencyCombine(lowLatency.x(), in.weights(), lowLatency.handle());
            synchronized (tensors) {
              tensors.addAll(
                  List.of(
                      first.x(), owned.topkIdx(), y, lowLatency.x(), lowLatencySums.combined()));
            }
            assertThat(hooked.isReceived() || sums.isReceived()).isFalse();
            group.barrier();
          }
        });
    assertThat(OffHeap.liveBytes()).isEqualTo(before);
    assertThat(OffHeap.liveAllocations()).isEqualTo(allocations);
    assertThat(tensors).hasSize(15);
    for (Tensor tensor : tensors) {
      assertThatThrownBy(tensor::address)
          .isInstanceOf(IllegalStateException.class)
          .hasMessageContaining("closed result");
    }
  }

  @Test
  void shouldNotGrow_whenBuffersAreMadeAndClosedManyTimes() {
    long before = OffHeap.liveBytes();
    for (int cycle = 0; cycle < 40; cycle++) {
      LocalGroup.run(
          3,
          group -> {
            try (Buffer buffer = cpuBuffer(group, OPTIONS);
                Inputs in = Inputs.of(group.rank());
                var result = buffer.dispatch(in.x(), in.idx(), in.weights());
                var sums = buffer.combine(result.x(), result.handle())) {
              ROWS.assertCombined(sums.combined(), group.rank(), ALL);
            }
          });
      assertThat(OffHeap.liveBytes()).as("cycle %d", cycle).isEqualTo(before);
    }
  }

  @Test
  void shouldKeepApart_whenTwoBuffersAreUsedInTurn() {
    CountedRows wide = new CountedRows(3, 12, 128);
    long before = OffHeap.liveBytes();
    LocalGroup.run(
        3,
        group -> {
          int rank = group.rank();
          try (Buffer narrow = cpuBuffer(group, OPTIONS);
              Buffer other = cpuBuffer(group, BufferOptions.of(12, 128, 16).maxTopk(2));
              Inputs in = Inputs.of(rank);
              Tensor x = wide.x(rank);
              Tensor idx = wide.topkIdx(rank);
              Tensor weights = wide.topkWeights(rank)) {
            for (int round = 0; round < 10; round++) {
              try (var first = narrow.dispatch(in.x(), in.idx(), in.weights());
                  var firstHandle = first.handle();
                  var second = other.dispatch(x, idx, weights);
                  var secondHandle = second.handle();
                  var firstSums = narrow.combine(first.x(), firstHandle);
                  var secondSums = other.combine(second.x(), secondHandle)) {
                ROWS.assertReceived(first, rank, ALL, Set.of());
                wide.assertReceived(second, rank, ALL, Set.of());
                ROWS.assertCombined(firstSums.combined(), rank, ALL);
                wide.assertCombined(secondSums.combined(), rank, ALL);
              }
            }
          }
        });
    assertThat(OffHeap.liveBytes()).isEqualTo(before);
  }

  @Test
  void shouldFree_whenARankFailsInTheMiddle() {
    long before = OffHeap.liveBytes();
    assertThatThrownBy(
            () ->
                LocalGroup.run(
                    3,
                    group -> {
                      try (Buffer buffer = cpuBuffer(group, OPTIONS);
                          Inputs in = Inputs.of(group.rank())) {
                        buffer.dispatch(in.x(), in.idx(), in.weights()).close();
                        if (group.rank() == 1) {
                          throw new IllegalStateException("the model broke");
                        }
                        buffer.dispatch(in.x(), in.idx(), in.weights()).close();
                      }
                    }))
        .hasStackTraceContaining("the model broke");
    assertThat(OffHeap.liveBytes()).isEqualTo(before);
  }
}
