package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.memory.Memory;

/**
 * One token's sum across nodes, in two levels. Each node that has rows of the token sums them from
 * +0 in float32, in the order in which they come (destination ranks, or top-k slots), and rounds to
 * BF16: the row that would cross the network. Then biases and the nodes' rows, ascending, are
 * summed as one node's rows are. The own node is rounded like the others, so that the order of
 * ranks does not decide which rank's tokens are more exact.
 */
final class NodeSum implements AutoCloseable {
  private final RankContext context;
  private final long rowBytes;
  private final Memory nodeRows;
  private final RowSum part;
  private final RowSum total;
  private final float[] partWeights;

  /**
   * Takes memory for one row per node.
   *
   * @param context the rank
   * @param hidden elements of a row
   * @param maxRows most rows of one token
   */
  NodeSum(RankContext context, int hidden, int maxRows) {
    this.context = context;
    this.rowBytes = 2L * hidden;
    int numNodes = context.topology.numNodes();
    this.nodeRows = context.results.take(rowBytes * numNodes);
    this.part = new RowSum(hidden, maxRows);
    this.total = new RowSum(hidden, numNodes);
    this.partWeights = new float[maxRows];
  }

  /**
   * Sums.
   *
   * @param sum what one node would sum
   * @param peerOfRow the rank that each row is read from
   */
  void reduce(RowSum sum, int[] peerOfRow) {
    total.count = 0;
    for (int node = 0; node < context.topology.numNodes(); node++) {
      select(sum, peerOfRow, node);
      if (part.count > 0) {
        part.out = nodeRows.address() + rowBytes * node;
        context.reducer.reduce(part);
        total.rowAddresses[total.count++] = part.out;
        context.traffic.network.combined(node, rowBytes);
      }
    }
    total.bias0 = sum.bias0;
    total.bias1 = sum.bias1;
    total.out = sum.out;
    context.reducer.reduce(total);
  }

  private void select(RowSum sum, int[] peerOfRow, int node) {
    float[] weights = sum.weights;
    part.weights = weights == null ? null : partWeights;
    part.count = 0;
    for (int row = 0; row < sum.count; row++) {
      if (context.topology.nodeOf(peerOfRow[row]) == node) {
        if (weights != null) {
          partWeights[part.count] = weights[row];
        }
        part.rowAddresses[part.count++] = sum.rowAddresses[row];
      }
    }
  }

  /** Gives the memory back. */
  @Override
  public void close() {
    context.results.give(nodeRows);
  }
}
