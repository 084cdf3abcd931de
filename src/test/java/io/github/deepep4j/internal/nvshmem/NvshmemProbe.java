package io.github.deepep4j.internal.nvshmem;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.Transport;
import io.github.deepep4j.error.BackendUnavailableException;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.Device;

/** Run in a JVM of its own: prints what asking for NVSHMEM comes to there. */
final class NvshmemProbe {
  private static final BufferOptions OPTIONS =
      BufferOptions.of(8, 64, 16).lowLatency().transport(Transport.NVSHMEM);

  private NvshmemProbe() {}

  public static void main(String[] args) {
    // Twice: the first failure must not leave a class that fails differently from then on.
    for (int attempt = 0; attempt < 2; attempt++) {
      try {
        long over = SizeHint.of(OPTIONS, 2, Device.cuda(0)).totalBytes();
        long peers = SizeHint.of(OPTIONS.transport(Transport.PEER), 2, Device.cuda(0)).totalBytes();
        System.out.println("sizes " + (over > peers ? "differ" : over + " and " + peers));
      } catch (BackendUnavailableException e) {
        System.out.println("sizes " + e.getMessage());
      }
    }
    System.out.println("findings " + NvshmemLibrary.get().findings());
    LocalGroup.run(
        1,
        group -> {
          try (Buffer buffer =
              Buffer.builder(group)
                  .options(OPTIONS)
                  .device(Device.cuda(0))
                  .transport(Transport.NVSHMEM)
                  .build()) {
            System.out.println("buffer " + buffer.device());
          } catch (BackendUnavailableException e) {
            System.out.println("buffer " + e.getMessage());
          }
        });
  }
}
