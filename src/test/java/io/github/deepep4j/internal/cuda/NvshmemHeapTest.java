package io.github.deepep4j.internal.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.NvshmemOptions;
import org.junit.jupiter.api.Test;

/** Who says how large the symmetric heap is: the options, else the environment, else the window. */
final class NvshmemHeapTest {
  private static final NvshmemOptions NONE = NvshmemOptions.defaults();

  @Test
  void shouldTakeTheOption_whenTheEnvironmentSaysSomethingElse() {
    assertThat(NvshmemWorld.heapBytes(NONE.symmetricHeapBytes(5), 1L << 30, true)).isEqualTo(5);
  }

  @Test
  void shouldLeaveItToTheVariable_whenOnlyThatSaysIt() {
    assertThat(NvshmemWorld.heapBytes(NONE, 1L << 30, true)).isZero();
  }

  @Test
  void shouldHaveRoomForTheWindow_whenNobodySaysIt() {
    assertThat(NvshmemWorld.heapBytes(NONE, 6L << 30, false)).isEqualTo((6L << 30) + (64L << 20));
  }
}
