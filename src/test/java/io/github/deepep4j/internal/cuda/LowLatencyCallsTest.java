package io.github.deepep4j.internal.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** Names of calls that a device tells of by number. */
final class LowLatencyCallsTest {
  @Test
  void shouldNameTheLastCallsAndNoOthers_whenNumbersComeAgain() {
    LowLatencyCalls calls = new LowLatencyCalls();
    assertThat(calls.operation(0)).isNull();
    assertThat(calls.operation(-1)).isNull();
    for (long ordinal = 1; ordinal <= 1000; ordinal++) {
      if (ordinal % 3 != 0) {
        calls.add(ordinal, ordinal % 3 == 1 ? "dispatch" : "combine");
      }
    }
    assertThat(calls.operation(1000)).isEqualTo("dispatch");
    assertThat(calls.operation(998)).isEqualTo("combine");
    assertThat(calls.operation(999)).isNull();
    assertThat(calls.operation(1)).isNull(); // long ago
    assertThat(calls.operation(1001)).isNull();
  }
}
