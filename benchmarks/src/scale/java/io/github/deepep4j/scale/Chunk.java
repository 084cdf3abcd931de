package io.github.deepep4j.scale;

/**
 * Rows of one rank's tokens that go to one node together.
 *
 * @param tokenRank whose tokens
 * @param node where their experts are
 * @param rows (token, node) pairs: rows over the network, if the node is another one
 * @param rowsOfLocalRank (token, rank) pairs, by local rank of the node
 */
record Chunk(int tokenRank, int node, int rows, int[] rowsOfLocalRank) {
  /** No chunk. */
  static final Chunk NONE = new Chunk(-1, -1, 0, new int[0]);

  /** Whether it is {@link #NONE}. */
  boolean isNone() {
    return rows == 0;
  }

  /** (token, rank) pairs. */
  int fanOut() {
    int sum = 0;
    for (int count : rowsOfLocalRank) {
      sum += count;
    }
    return sum;
  }
}
