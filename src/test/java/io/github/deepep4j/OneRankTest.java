package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.List;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;

/**
 * A buffer of one rank, on which every rule of the host can be broken: E = 4, H = 256, at most 4
 * tokens and K = 2. After each test it has to work as before.
 */
abstract class OneRankTest {
  static final long HIDDEN = 256;

  LocalGroup group;
  Buffer buffer;
  Tensor x;
  Tensor idx;
  Tensor weights;

  OneRankTest() {
    open(BufferOptions.of(4, (int) HIDDEN, 4).maxTopk(2).expertMajor().maxExpertAlignment(8));
  }

  private void open(BufferOptions options) {
    group = LocalGroup.create(1).get(0);
    buffer = Buffer.builder(group).options(options).device(Device.cpu()).build();
    x = Tensor.zeros(DType.BF16, 3, HIDDEN);
    idx = Tensor.copyOf(new long[] {0, 1, 1, -1, 3, 2}, 3, 2);
    weights = Tensor.copyOf(new float[] {1, 1, 1, 1, 1, 1}, 3, 2);
  }

  /** Opens a buffer with other options instead. */
  final void reopen(BufferOptions options) {
    close();
    open(options);
  }

  final void close() {
    buffer.close();
    group.close();
    List.of(x, idx, weights).forEach(Tensor::close);
  }

  /** Each refusal leaves the buffer as it was. */
  @AfterEach
  void closeWorkingAsBefore() {
    if (!buffer.isClosed()) {
      try (var result = buffer.dispatch(x, idx, weights);
          var handle = result.handle()) {
        assertThat(result.numReceived()).isEqualTo(3);
        assertThat(handle.numTokens()).isEqualTo(3);
      }
    }
    close();
  }

  static void refused(ThrowingCallable call, String... words) {
    assertThatIllegalArgumentException().isThrownBy(call).withMessageContainingAll(words);
  }

  static void refusedState(ThrowingCallable call, String... words) {
    var thrown = assertThatThrownBy(call).isInstanceOf(IllegalStateException.class);
    thrown.hasMessageContainingAll(words);
  }

  static DispatchOptions options() {
    return DispatchOptions.defaults();
  }
}
