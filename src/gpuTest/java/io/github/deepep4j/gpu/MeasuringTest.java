package io.github.deepep4j.gpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.DeviceMemory;
import io.github.deepep4j.Stream;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.internal.cuda.DeviceTimer;
import io.github.deepep4j.internal.cuda.RowCopy;
import io.github.deepep4j.internal.cuda.StreamGate;
import java.time.Duration;
import java.util.function.Consumer;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What the benchmarks measure with. */
@Tag("gpu")
final class MeasuringTest {
  private static final Duration LONG = Duration.ofSeconds(20);

  private static void onStream(Consumer<Stream> body) {
    LocalGroup.run(
        1,
        group -> {
          try (Buffer buffer = TestDevice.build(group, BufferOptions.of(4, 256, 16))) {
            body.accept(buffer.stream());
          }
        });
  }

  @Test
  void shouldHoldTheStreamAndTellHowLong_whenTheGateIsShut() {
    onStream(
        stream -> {
          try (StreamGate gate = new StreamGate(stream.device().index());
              DeviceTimer timer = new DeviceTimer(stream)) {
            timer.begin();
            gate.hold(stream, LONG);
            timer.end();
            pause(30);
            assertThatIllegalStateException().isThrownBy(timer::nanos);
            gate.open();
            DeviceMemory.synchronize(stream);
            assertThat(timer.nanos()).isBetween(25_000_000L, LONG.toNanos());
          }
        });
  }

  @Test
  void shouldLetGo_whenNobodyOpensTheGate() {
    onStream(
        stream -> {
          try (StreamGate gate = new StreamGate(stream.device().index());
              DeviceTimer timer = new DeviceTimer(stream)) {
            timer.begin();
            gate.hold(stream, Duration.ofMillis(20));
            timer.end();
            DeviceMemory.synchronize(stream);
            assertThat(timer.nanos()).isBetween(18_000_000L, LONG.toNanos());
          }
        });
  }

  @Test
  void shouldTakeTimeAndRefuseTooManyMultiprocessors_whenRowsAreCopied() {
    onStream(
        stream -> {
          try (RowCopy copy = new RowCopy(stream, 4096, 14336);
              DeviceTimer timer = new DeviceTimer(stream)) {
            copy.run(8); // loads the kernel
            timer.begin();
            copy.run(8);
            timer.end();
            DeviceMemory.synchronize(stream);
            assertThat(timer.nanos()).isBetween(10_000L, LONG.toNanos());
            assertThatIllegalArgumentException()
                .isThrownBy(() -> copy.run(100_000))
                .withMessageContaining("num_sms");
          }
        });
  }

  private static void pause(long millis) {
    try {
      Thread.sleep(millis);
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }
}
