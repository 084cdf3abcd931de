package io.github.deepep4j.internal.backend;

import io.github.deepep4j.BufferOptions;

/**
 * How ranks share nodes: each node has the next {@code ranksPerNode} of them, so that rank r is
 * local rank {@code r % ranksPerNode} of node {@code r / ranksPerNode}.
 *
 * @param numRanks n ≥ 1
 * @param ranksPerNode a divisor of n
 */
public record Topology(int numRanks, int ranksPerNode) {
  /**
   * Checks that nodes are alike.
   *
   * @throws IllegalArgumentException if ranksPerNode does not divide n
   */
  public Topology {
    if (ranksPerNode < 1 || numRanks % ranksPerNode != 0) {
      throw new IllegalArgumentException(
          "ranksPerNode must divide the number of ranks: " + ranksPerNode + " over " + numRanks);
    }
  }

  /** The nodes of a buffer's ranks: one of all, where the options say nothing. */
  public static Topology of(BufferOptions options, int numRanks) {
    int asked = options.ranksPerNode();
    return new Topology(numRanks, asked == 0 ? numRanks : asked);
  }

  /** Nodes. */
  public int numNodes() {
    return numRanks / ranksPerNode;
  }

  /** The node of a rank. */
  public int nodeOf(int rank) {
    return rank / ranksPerNode;
  }

  /**
   * The rank by which rows of a source come to a destination, and sums go back: the one of the
   * source's number on the destination's node. Inside a node that is the source itself.
   */
  public int proxy(int source, int destination) {
    return nodeOf(destination) * ranksPerNode + source % ranksPerNode;
  }
}
