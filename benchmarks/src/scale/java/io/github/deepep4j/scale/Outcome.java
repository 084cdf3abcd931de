package io.github.deepep4j.scale;

/**
 * What a simulated operation came to; bytes are those of the average rank.
 *
 * @param timeNs until the last rank is done
 * @param pairBytes (token, node) pairs times row bytes, own node included: how V1 counts the
 *     network's bytes
 * @param nicBytes the same without the own node: what a card really sends
 * @param rowBytesMoved (token, rank) pairs times row bytes, own rank included: how V1 counts the
 *     bytes inside a node
 * @param nvlinkBytes the same without the own rank: what the links really carry
 * @param nicLoad time in which the busiest card's busier direction moved, over the whole
 * @param nvlinkLoad the same for the links inside a node
 * @param smLoad the same for the SMs
 * @param peakStagingBytes most that any rank had received and not passed on
 */
record Outcome(
    double timeNs,
    double pairBytes,
    double nicBytes,
    double rowBytesMoved,
    double nvlinkBytes,
    double nicLoad,
    double nvlinkLoad,
    double smLoad,
    double peakStagingBytes) {
  /** Below this no server was the limit: latency, credits or the end's unevenness were. */
  private static final double BUSY = 0.75;

  /** GB/s over the network as V1 counts them. */
  double countedNetworkGbs() {
    return pairBytes / timeNs;
  }

  /** GB/s that a card really sends. */
  double nicGbs() {
    return nicBytes / timeNs;
  }

  /** GB/s inside a node as V1 counts them. */
  double countedRowGbs() {
    return rowBytesMoved / timeNs;
  }

  /** What was busiest. */
  String limit() {
    double most = Math.max(nicLoad, Math.max(nvlinkLoad, smLoad));
    if (most < BUSY) {
      return "waiting";
    }
    return most == nicLoad ? "network" : most == nvlinkLoad ? "NVLink" : "SMs";
  }
}
