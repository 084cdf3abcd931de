package io.github.deepep4j;

import java.util.List;

/**
 * A snapshot of what a buffer has done since it was created. Rows are counted as they travel: once
 * per (token, destination rank) in rank-major order, once per (token, expert) in expert-major order
 * and in low-latency mode. The own rank is a peer like the others.
 *
 * @param normal per peer, by rank: normal-mode traffic
 * @param lowLatency per peer, by rank: low-latency traffic
 * @param network per node: normal-mode payload between this rank and the node, if it is another one
 * @param windowBytes memory that peers can reach, held by this rank
 * @param openResults results, of all kinds, that are not closed
 * @param openHandles normal-mode handles that are not closed
 * @param quarantinedRegions regions that a masked peer may still write to
 * @param abandonedBytes memory that could not be freed because a peer may still use it
 */
public record Statistics(
    List<Peer> normal,
    List<Peer> lowLatency,
    List<Node> network,
    long windowBytes,
    int openResults,
    int openHandles,
    int quarantinedRegions,
    long abandonedBytes) {
  /**
   * Makes the lists immutable.
   *
   * @param normal normal-mode traffic per peer
   * @param lowLatency low-latency traffic per peer
   * @param network normal-mode payload per node
   * @param windowBytes memory that peers can reach
   * @param openResults results that are not closed
   * @param openHandles handles that are not closed
   * @param quarantinedRegions regions that a masked peer may still write to
   * @param abandonedBytes memory that could not be freed
   */
  public Statistics {
    normal = List.copyOf(normal);
    lowLatency = List.copyOf(lowLatency);
    network = List.copyOf(network);
  }

  /**
   * Traffic with one peer.
   *
   * @param rowsSent rows of dispatches sent to it
   * @param bytesSent payload of these rows: activations and scales
   * @param rowsReceived rows of dispatches received from it
   * @param rowsCombined rows of its expert outputs that combines here read
   * @param waitNanos time that calls here were blocked on it
   */
  public record Peer(
      long rowsSent, long bytesSent, long rowsReceived, long rowsCombined, long waitNanos) {}

  /**
   * Payload over the network between this rank and one node; all zero for the own node. A dispatch
   * sends a token's row once to each other node where it has experts, whatever the row order, and
   * the node hands it on to its ranks; a combine brings one BF16 row back for each, the node's sum.
   * Metadata (indices, weights, counts) is not in these numbers.
   *
   * <p>On the CPU backend all ranks share the memory of one machine: rows are written straight to
   * their places and nothing is staged. There these are the rows and bytes that the transfer
   * between nodes would take, counted row by row as they are sent and summed.
   *
   * @param rowsSent (token, node) pairs of dispatches to the node
   * @param bytesSent their activations and scales
   * @param rowsCombined (token, node) pairs of combines here that the node contributed to
   * @param bytesCombined their bytes
   */
  public record Node(long rowsSent, long bytesSent, long rowsCombined, long bytesCombined) {}
}
