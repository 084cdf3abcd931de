package io.github.deepep4j;

import io.github.deepep4j.internal.backend.Backends;
import io.github.deepep4j.tensor.Device;

/**
 * How many bytes one rank's end of a buffer will take, computed before anything is allocated. The
 * regions of the different kinds are disjoint: the total is their sum. Results of combines, and of
 * dispatches that the caller owns, are not in it: they are allocated as they come.
 *
 * @param controlBytes counts, grants and the words that ranks publish to each other
 * @param dispatchBytes regions that normal-mode dispatch delivers to, or the arena
 * @param combineBytes regions for expert outputs on their way back; 0 with an arena, which holds
 *     them too
 * @param lowLatencyDispatchBytes regions that low-latency dispatch delivers to
 * @param lowLatencyCombineBytes regions for low-latency expert outputs
 * @param privateBytes memory of the device that no peer reaches: handles and state; 0 on the CPU,
 *     where it grows with use
 * @param pinnedBytes host memory that the device writes to; 0 on the CPU
 */
public record SizeHint(
    long controlBytes,
    long dispatchBytes,
    long combineBytes,
    long lowLatencyDispatchBytes,
    long lowLatencyCombineBytes,
    long privateBytes,
    long pinnedBytes) {

  /**
   * Computes the sizes on the CPU. Local and cheap.
   *
   * @param options what the buffer is made for
   * @param numRanks n ≥ 1, a divisor of the number of experts
   * @return bytes per rank
   * @throws IllegalArgumentException if n does not divide the number of experts, or is not divided
   *     by the ranks of a node
   */
  public static SizeHint of(BufferOptions options, int numRanks) {
    return of(options, numRanks, Device.cpu());
  }

  /**
   * Computes the sizes on a device. Local and cheap; a GPU need not exist for it.
   *
   * @param options what the buffer is made for
   * @param numRanks n ≥ 1, a divisor of the number of experts
   * @param device where
   * @return bytes per rank
   * @throws IllegalArgumentException if n does not divide the number of experts
   * @throws io.github.deepep4j.error.BackendUnavailableException if the native library of the
   *     device's backend does not load here
   */
  public static SizeHint of(BufferOptions options, int numRanks, Device device) {
    return Backends.sizeHint(options, numRanks, device);
  }

  /**
   * Everything that peers can reach: what {@link Statistics#windowBytes()} will say.
   *
   * @return the sum
   */
  public long totalBytes() {
    return controlBytes
        + dispatchBytes
        + combineBytes
        + lowLatencyDispatchBytes
        + lowLatencyCombineBytes;
  }

  /**
   * Everything that is allocated on the device when the buffer is made.
   *
   * @return the sum of what peers can reach and what they can't
   */
  public long deviceBytes() {
    return totalBytes() + privateBytes;
  }

  @Override
  public String toString() {
    return String.format(
        java.util.Locale.ROOT,
        "%.1f MiB (control %.1f, dispatch %.1f, combine %.1f, low-latency dispatch %.1f,"
            + " combine %.1f), private %.1f, pinned %.1f",
        mib(totalBytes()),
        mib(controlBytes),
        mib(dispatchBytes),
        mib(combineBytes),
        mib(lowLatencyDispatchBytes),
        mib(lowLatencyCombineBytes),
        mib(privateBytes),
        mib(pinnedBytes));
  }

  private static double mib(long bytes) {
    return bytes / (1024.0 * 1024.0);
  }
}
