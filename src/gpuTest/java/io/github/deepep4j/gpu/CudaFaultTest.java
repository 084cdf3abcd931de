package io.github.deepep4j.gpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.TimeoutPolicy;
import io.github.deepep4j.error.BackendUnavailableException;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * What goes wrong on a GPU ends in the exception of the CPU backend and leaves the device usable.
 */
@Tag("gpu")
final class CudaFaultTest {
  private static final BufferOptions OPTIONS =
      BufferOptions.of(4, 64, 8).expertMajor().timeout(Duration.ofSeconds(2));

  /** One token for each expert. */
  private static DispatchResult dispatch(
      Buffer buffer, HostTensors memory, DispatchOptions options) {
    Tensor x = memory.bf16(new short[4][64], 64);
    Tensor topkIdx = memory.indices(new long[][] {{0}, {1}, {2}, {3}}, 1, DType.INT64);
    return buffer.dispatch(x, topkIdx, memory.floats(new float[4][1], 1), options);
  }

  private static void roundTrip(Buffer buffer) {
    try (HostTensors memory = new HostTensors();
        DispatchResult rows = dispatch(buffer, memory, DispatchOptions.defaults());
        DispatchHandle handle = rows.handle();
        CombineResult sums = buffer.combine(rows.x(), handle)) {
      assertThat(sums.combined().shape()).containsExactly(4, 64);
      sums.event().synchronize();
    }
  }

  private static Buffer build(io.github.deepep4j.group.ProcessGroup group, BufferOptions options) {
    return TestDevice.build(group, options, TestDevice.gpu(group.rank()));
  }

  @Test
  void shouldNameTheSilentRankAndWorkAgain_whenARankNeverCalls() {
    CountDownLatch done = new CountDownLatch(1);
    LocalGroup.run(
        2,
        group -> {
          try (Buffer buffer = build(group, OPTIONS)) {
            if (group.rank() == 0) {
              try (HostTensors memory = new HostTensors()) {
                assertThatThrownBy(() -> dispatch(buffer, memory, DispatchOptions.defaults()))
                    .isInstanceOfSatisfying(
                        EpTimeoutException.class,
                        timeout -> assertThat(timeout.culprit()).isEqualTo(1));
                assertThatThrownBy(() -> roundTrip(buffer)).isInstanceOf(EpTimeoutException.class);
              } finally {
                done.countDown();
              }
            } else {
              done.await();
            }
          }
          try (Buffer again = build(group, OPTIONS)) {
            roundTrip(again);
          }
        });
  }

  @Test
  void shouldGoOnWithoutTheSilentRank_whenTimeoutsMask() {
    CountDownLatch done = new CountDownLatch(2);
    LocalGroup.run(
        3,
        group -> {
          BufferOptions options =
              BufferOptions.of(6, 64, 8)
                  .timeout(Duration.ofSeconds(2))
                  .onTimeout(TimeoutPolicy.MASK);
          try (Buffer buffer = build(group, options)) {
            if (group.rank() == 2) {
              done.await();
            } else {
              try {
                roundTrip(buffer);
                assertThat(buffer.maskedRanks()).containsExactly(2);
                roundTrip(buffer);
              } finally {
                // Also after a failure: the silent rank would wait for ever.
                done.countDown();
              }
            }
          }
        });
  }

  @Test
  void shouldSayBothCalls_whenRanksCallDifferentThings() {
    LocalGroup.run(
        2,
        group -> {
          try (Buffer buffer = build(group, OPTIONS);
              HostTensors memory = new HostTensors()) {
            DispatchOptions options =
                group.rank() == 0
                    ? DispatchOptions.defaults()
                    : DispatchOptions.defaults().expertMajor(2);
            assertThatThrownBy(() -> dispatch(buffer, memory, options))
                .isInstanceOfSatisfying(
                    EpException.class,
                    error -> assertThat(error.code()).isEqualTo(EpException.Code.MISMATCH))
                .hasMessageContaining("rank-major")
                .hasMessageContaining("expert-major");
          }
        });
  }

  @Test
  void shouldEndTheWaitAtOnce_whenInterrupted() {
    CountDownLatch done = new CountDownLatch(1);
    LocalGroup.run(
        2,
        group -> {
          try (Buffer buffer = build(group, OPTIONS.timeout(Duration.ofSeconds(5)))) {
            if (group.rank() == 1) {
              done.await();
              return;
            }
            Thread waiting = Thread.currentThread();
            Thread alarm =
                new Thread(
                    () -> {
                      try {
                        Thread.sleep(200);
                      } catch (InterruptedException e) {
                        return;
                      }
                      waiting.interrupt();
                    });
            long started = System.nanoTime();
            alarm.start();
            HostTensors memory = new HostTensors();
            try {
              assertThatThrownBy(() -> dispatch(buffer, memory, DispatchOptions.defaults()))
                  .isInstanceOfSatisfying(
                      EpException.class,
                      error -> assertThat(error.code()).isEqualTo(EpException.Code.INTERRUPTED));
              assertThat(Thread.interrupted()).isTrue();
              assertThat(System.nanoTime() - started).isLessThan(2_000_000_000L);
              memory.close();
            } finally {
              alarm.join();
              done.countDown();
            }
          }
        });
  }

  @Test
  void shouldRefuseByName_whenAskedForWhatIsNotThere() {
    LocalGroup.run(
        1,
        group -> {
          assertThatThrownBy(() -> TestDevice.build(group, OPTIONS, Device.cuda(99)))
              .isInstanceOf(BackendUnavailableException.class)
              .hasMessageContaining("no device cuda:99");
        });
  }
}
