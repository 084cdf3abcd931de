package io.github.deepep4j;

import io.github.deepep4j.internal.backend.Backends;

/**
 * How many bytes one rank's end of a buffer will take, computed before anything is allocated. The
 * regions of the different kinds are disjoint: the total is their sum.
 *
 * @param controlBytes counts, grants and the words that ranks publish to each other
 * @param dispatchBytes regions that normal-mode dispatch delivers to, or the arena
 * @param combineBytes regions for expert outputs on their way back; 0 with an arena, which holds
 *     them too
 * @param lowLatencyDispatchBytes regions that low-latency dispatch delivers to
 * @param lowLatencyCombineBytes regions for low-latency expert outputs
 */
public record SizeHint(
    long controlBytes,
    long dispatchBytes,
    long combineBytes,
    long lowLatencyDispatchBytes,
    long lowLatencyCombineBytes) {

  /**
   * Computes the sizes. Local and cheap.
   *
   * @param options what the buffer is made for
   * @param numRanks n ≥ 1, a divisor of the number of experts
   * @return bytes per rank
   * @throws IllegalArgumentException if n does not divide the number of experts, or is not divided
   *     by the ranks of a node
   */
  public static SizeHint of(BufferOptions options, int numRanks) {
    return Backends.sizeHint(options, numRanks);
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

  @Override
  public String toString() {
    return String.format(
        java.util.Locale.ROOT,
        "%.1f MiB (control %.1f, dispatch %.1f, combine %.1f, low-latency dispatch %.1f, combine %.1f)",
        mib(totalBytes()),
        mib(controlBytes),
        mib(dispatchBytes),
        mib(combineBytes),
        mib(lowLatencyDispatchBytes),
        mib(lowLatencyCombineBytes));
  }

  private static double mib(long bytes) {
    return bytes / (1024.0 * 1024.0);
  }
}
