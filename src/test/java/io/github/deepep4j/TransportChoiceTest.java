package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.Device;
import org.junit.jupiter.api.Test;

/** What ranks are told, all alike, whose transport does not fit them. Needs no GPU. */
final class TransportChoiceTest {
  private static final BufferOptions OPTIONS = BufferOptions.of(8, 64, 16).lowLatency();

  @Test
  void shouldNameTheThreads_whenNvshmemIsAskedForInOneJvm() {
    LocalGroup.run(
        2,
        group ->
            assertThatIllegalArgumentException()
                .isThrownBy(
                    () ->
                        Buffer.builder(group)
                            .options(OPTIONS)
                            .device(Device.cuda(0))
                            .transport(Transport.NVSHMEM)
                            .build())
                .withMessageContaining("ranks 0 and 1 are threads of one JVM"));
  }

  @Test
  void shouldRefuse_whenNvshmemIsAskedForOnTheCpu() {
    LocalGroup.run(
        1,
        group ->
            assertThatIllegalArgumentException()
                .isThrownBy(
                    () ->
                        Buffer.builder(group)
                            .options(OPTIONS.transport(Transport.NVSHMEM))
                            .device(Device.cpu())
                            .build())
                .withMessageContaining("transport(NVSHMEM) needs GPUs"));
  }

  @Test
  void shouldNameBoth_whenRanksAskForDifferentTransports() {
    LocalGroup.run(
        2,
        group ->
            assertThatThrownBy(
                    () ->
                        Buffer.builder(group)
                            .options(OPTIONS)
                            .device(Device.cpu())
                            .transport(group.rank() == 0 ? Transport.PEER : Transport.AUTOMATIC)
                            .build())
                .isInstanceOfSatisfying(
                    EpException.class,
                    e -> assertThat(e.code()).isEqualTo(EpException.Code.MISMATCH))
                .hasMessageContaining("rank 0 has transport=PEER")
                .hasMessageContaining("rank 1 has transport=AUTOMATIC"));
  }

  @Test
  void shouldNotLookAtIt_whenPeersAreAskedForOnTheCpu() {
    LocalGroup.run(
        2,
        group -> {
          try (Buffer buffer =
              Buffer.builder(group)
                  .options(OPTIONS)
                  .device(Device.cpu())
                  .transport(Transport.PEER)
                  .build()) {
            assertThat(buffer.device()).isEqualTo(Device.cpu());
          }
        });
  }
}
