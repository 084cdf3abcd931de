package io.github.deepep4j.scale;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * Draws where one rank's tokens go, cut into chunks per node. A token first chooses its nodes, all
 * equally likely, then its experts among those of these nodes.
 */
final class Routing {
  private final Workload workload;
  private final int ranksPerNode;
  private final int expertsPerRank;

  /** A permutation of the nodes; the front are those of the token. */
  private final int[] nodes;

  /** A permutation of the experts on the token's nodes; the front are those of the token. */
  private final int[] experts;

  /** Last token that was counted for each of its ranks and nodes. */
  private final int[] tokenOfRank;

  private final int[] tokenOfNode;

  /** (token, node) pairs in the chunk that is being filled, by node. */
  private final int[] open;

  Routing(Workload workload, int ranksPerNode) {
    this.workload = workload;
    this.ranksPerNode = ranksPerNode;
    int numRanks = workload.numNodes() * ranksPerNode;
    this.expertsPerRank = workload.numExperts(numRanks) / numRanks;
    this.nodes = IntStream.range(0, workload.numNodes()).toArray();
    int candidates = workload.maxNodes() * ranksPerNode * expertsPerRank;
    if (workload.numTopk() > candidates) {
      throw new IllegalArgumentException(
          "a token has " + candidates + " experts to choose from and needs " + workload.numTopk());
    }
    this.experts = IntStream.range(0, candidates).toArray();
    this.tokenOfRank = new int[workload.maxNodes() * ranksPerNode];
    this.tokenOfNode = new int[workload.maxNodes()];
    this.open = new int[nodes.length];
  }

  /**
   * Chunks of one rank's tokens.
   *
   * @param rank the rank
   * @return by node, in the order of the tokens
   */
  List<Deque<Chunk>> chunks(int rank) {
    SplittableRandom random = new SplittableRandom(workload.seed() * 1_000_003 + rank);
    List<Deque<Chunk>> queues = new ArrayList<>();
    int[][] counts = new int[nodes.length][ranksPerNode];
    for (int node = 0; node < nodes.length; node++) {
      queues.add(new ArrayDeque<>());
      open[node] = 0;
    }
    Arrays.fill(tokenOfRank, 0);
    Arrays.fill(tokenOfNode, 0);
    for (int token = 0; token < workload.numTokens(); token++) {
      choose(random);
      count(token, counts);
      for (int i = 0; i < workload.maxNodes(); i++) {
        int node = nodes[i];
        if (open[node] == workload.chunkRows()) {
          close(queues.get(node), rank, node, counts);
        }
      }
    }
    for (int node = 0; node < nodes.length; node++) {
      if (open[node] > 0) {
        close(queues.get(node), rank, node, counts);
      }
    }
    return queues;
  }

  private void close(Deque<Chunk> queue, int rank, int node, int[][] counts) {
    queue.add(new Chunk(rank, node, open[node], counts[node]));
    counts[node] = new int[ranksPerNode];
    open[node] = 0;
  }

  private void choose(SplittableRandom random) {
    if (workload.maxNodes() < nodes.length) {
      drawFront(nodes, workload.maxNodes(), random);
    }
    drawFront(experts, workload.numTopk(), random);
  }

  /** Draws different values to the front, every choice equally likely. */
  private static void drawFront(int[] values, int count, SplittableRandom random) {
    for (int i = 0; i < count; i++) {
      int other = i + random.nextInt(values.length - i);
      int value = values[i];
      values[i] = values[other];
      values[other] = value;
    }
  }

  /** Counts each rank and each node of the token once. */
  private void count(int token, int[][] counts) {
    for (int k = 0; k < workload.numTopk(); k++) {
      int rank = experts[k] / expertsPerRank;
      int place = rank / ranksPerNode;
      if (tokenOfRank[rank] != token + 1) {
        tokenOfRank[rank] = token + 1;
        counts[nodes[place]][rank % ranksPerNode]++;
      }
      if (tokenOfNode[place] != token + 1) {
        tokenOfNode[place] = token + 1;
        open[nodes[place]]++;
      }
    }
  }
}
