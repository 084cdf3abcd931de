package io.github.deepep4j.scale;

/**
 * One operation of all ranks.
 *
 * @param operation which way rows go
 * @param numNodes nodes
 * @param numTokens tokens of each rank
 * @param rowBytes bytes of a row, scales included
 * @param numTopk experts of a token
 * @param maxNodes nodes that a token's experts may lie on; all of them for {@code numNodes}
 * @param chunkRows rows that travel together
 * @param window chunks that may be on their way from one rank to one node
 * @param seed of the routing
 */
record Workload(
    Operation operation,
    int numNodes,
    int numTokens,
    int rowBytes,
    int numTopk,
    int maxNodes,
    int chunkRows,
    int window,
    long seed) {
  /** Hidden size of all workloads here. */
  static final int HIDDEN = 7168;

  /** An FP8 row: one byte per element and a 4-byte scale per 128. */
  static final int FP8_ROW = HIDDEN + HIDDEN / 128 * 4;

  /** A BF16 row. */
  static final int BF16_ROW = 2 * HIDDEN;

  /** Experts over all ranks, unless there are more ranks. */
  private static final int EXPERTS = 256;

  /** Which way rows go. */
  enum Operation {
    DISPATCH,
    COMBINE
  }

  Workload {
    for (int size :
        new int[] {numNodes, numTokens, rowBytes, numTopk, maxNodes, chunkRows, window}) {
      if (size < 1) {
        throw new IllegalArgumentException("sizes must be >= 1: " + size);
      }
    }
  }

  /** 4,096 tokens, top-8: an FP8 dispatch or a BF16 combine, in chunks as the results use them. */
  static Workload standard(Operation operation, int numNodes, int maxNodes) {
    int rowBytes = operation == Operation.DISPATCH ? FP8_ROW : BF16_ROW;
    return new Workload(
        operation, numNodes, 4096, rowBytes, 8, Math.min(maxNodes, numNodes), 32, 4, 1);
  }

  Workload withWindow(int chunks) {
    return new Workload(
        operation, numNodes, numTokens, rowBytes, numTopk, maxNodes, chunkRows, chunks, seed);
  }

  /** Experts: each rank must have at least one, and all as many. */
  int numExperts(int numRanks) {
    return numRanks >= EXPERTS ? numRanks : (EXPERTS + numRanks - 1) / numRanks * numRanks;
  }

  /** Staging memory of one rank: room for what all other nodes may have on their way to it. */
  long stagingBytes() {
    return (long) (numNodes - 1) * window * chunkRows * rowBytes;
  }
}
