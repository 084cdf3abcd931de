package io.github.deepep4j;

import io.github.deepep4j.tensor.Device;
import java.util.Objects;

/**
 * A queue of device work. On the CPU backend there is one, {@link #cpu()}: the calling thread. A
 * value; it owns nothing.
 *
 * <p>On CUDA a stream should have run some work before its first use in a call, if several ranks
 * share the process: the driver can hold the first kernel of a new stream until other streams'
 * kernels have ended, and a peer's kernel may be waiting for this very call.
 *
 * @param device where the work runs
 * @param handle the device's own handle (a {@code cudaStream_t} as an integer); 0 for the CPU
 */
public record Stream(Device device, long handle) {
  private static final Stream CPU = new Stream(Device.cpu(), 0);

  /**
   * Checks the handle.
   *
   * @param device where the work runs
   * @param handle the device's own handle
   * @throws IllegalArgumentException for CUDA's legacy default stream (handle 0), which would wait
   *     for and block every other stream of the context, or for a CPU handle other than 0
   */
  public Stream {
    Objects.requireNonNull(device, "device");
    if (device.isCpu() != (handle == 0)) {
      throw new IllegalArgumentException(
          device.isCpu()
              ? "the CPU has one stream, handle 0, not " + handle
              : "the legacy default stream (handle 0) is refused: it serialises with every other");
    }
  }

  /**
   * The calling thread.
   *
   * @return the CPU's stream
   */
  public static Stream cpu() {
    return CPU;
  }
}
