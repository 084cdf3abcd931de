package io.github.deepep4j.internal.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/**
 * A failure reads the same whichever backend reports it: what the CPU backend says is the model.
 */
final class SameWordsTest {
  private static final BufferOptions OPTIONS = BufferOptions.of(8, 64, 16).expertMajor();

  /** What two CPU ranks throw, by rank. */
  private static AtomicReferenceArray<@Nullable EpException> cpuFailures(
      long badIndex, boolean mismatch) {
    AtomicReferenceArray<@Nullable EpException> failures = new AtomicReferenceArray<>(2);
    LocalGroup.run(
        2,
        group -> {
          try (Buffer buffer = Buffer.builder(group).options(OPTIONS).device(Device.cpu()).build();
              Tensor x = Tensor.zeros(DType.BF16, 1, 64);
              Tensor topkIdx =
                  Tensor.copyOf(new long[] {group.rank() == 1 ? badIndex : 5, -1}, 1, 2);
              Tensor weights = Tensor.zeros(DType.FLOAT32, 1, 2)) {
            DispatchOptions options =
                mismatch && group.rank() == 1
                    ? DispatchOptions.defaults().expertMajor(4)
                    : DispatchOptions.defaults();
            try (DispatchResult result = buffer.dispatch(x, topkIdx, weights, options)) {
              result.handle().close();
            } catch (EpException e) {
              failures.set(group.rank(), e);
            }
          }
        });
    return failures;
  }

  private static EpException present(@Nullable EpException failure) {
    if (failure == null) {
      throw new AssertionError("the CPU backend reported nothing");
    }
    return failure;
  }

  @Test
  void shouldReadTheSame_whenARoutingIsRefused() {
    EpException cpu = present(cpuFailures(8, false).get(0));
    Faults faults = new Faults(0, OPTIONS, 0);
    assertThat(faults.refused("dispatch", 1, Abi.ROUTING_OUT_OF_RANGE, 0, 8))
        .hasMessage(cpu.getMessage())
        .extracting(EpException::code)
        .isEqualTo(cpu.code());
    faults.close();
  }

  @Test
  void shouldDescribeCallsTheSame_whenRanksMismatch() {
    EpException cpu = present(cpuFailures(1, true).get(0));
    long dispatch = 1;
    long int64 = 8L << 40;
    long weights = 1L << 48;
    long rows = 128L << 32;
    var rankMajor = new CallWords(dispatch | int64 | weights, rows, 2L << 32 | 1, 0);
    var expertMajor = new CallWords(dispatch | 1L << 8 | int64 | weights, rows, 2L << 32 | 4, 0);
    assertThat(cpu)
        .hasMessageContaining(
            "is "
                + rankMajor
                + " on rank 0 and "
                + expertMajor
                + " on rank 1 (the calls must be alike)");
  }
}
