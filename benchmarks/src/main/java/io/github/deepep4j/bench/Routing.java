package io.github.deepep4j.bench;

import java.util.Arrays;
import java.util.SplittableRandom;

/**
 * The routing of all ranks, known to everyone: each token chooses K different experts at random
 * from a fixed seed. From it follow, without any call of the library, the order of the rows that a
 * rank receives and the number of rows that each token has.
 */
final class Routing {
  private static final long SEED = 7;

  private final Workload load;

  /** Experts of each token, ascending, {@code [n][T · K]}. */
  private final int[][] experts;

  /**
   * Rows in a result: row {@code index[i]} is token {@code token[i]} of rank {@code rank[i]}.
   *
   * @param index place of the row in the result
   * @param rank its source rank
   * @param token its source token
   */
  record Rows(int[] index, int[] rank, int[] token) {
    int count() {
      return index.length;
    }
  }

  Routing(Workload load) {
    this.load = load;
    this.experts = new int[load.ranks()][load.tokens() * load.topk()];
    SplittableRandom random = new SplittableRandom(SEED);
    for (int[] ofRank : experts) {
      for (int token = 0; token < load.tokens(); token++) {
        choose(random, ofRank, token * load.topk());
      }
    }
  }

  private void choose(SplittableRandom random, int[] out, int begin) {
    int end = begin;
    while (end < begin + load.topk()) {
      int expert = random.nextInt(load.experts());
      boolean taken = false;
      for (int i = begin; i < end; i++) {
        taken |= out[i] == expert;
      }
      if (!taken) {
        out[end++] = expert;
      }
    }
    Arrays.sort(out, begin, end);
  }

  /** Indices as dispatch takes them, {@code [T · K]}. */
  long[] topkIdx(int rank) {
    return Arrays.stream(experts[rank]).asLongStream().toArray();
  }

  /** Rows of a rank-major result: by source rank and token, one for each token that comes here. */
  Rows rankMajor(int here) {
    Collector rows = new Collector();
    for (int rank = 0; rank < load.ranks(); rank++) {
      for (int token = 0; token < load.tokens(); token++) {
        if (goesTo(rank, token, here)) {
          rows.add(rows.size, rank, token);
        }
      }
    }
    return rows.get();
  }

  /**
   * Rows by local expert, source rank and token.
   *
   * @param here the receiving rank
   * @param rowsPerExpert distance between the first rows of two experts; 0 if they follow one
   *     another
   */
  Rows expertMajor(int here, int rowsPerExpert) {
    Collector rows = new Collector();
    for (int local = 0; local < load.localExperts(); local++) {
      int next = rowsPerExpert == 0 ? rows.size : local * rowsPerExpert;
      for (int rank = 0; rank < load.ranks(); rank++) {
        for (int token = 0; token < load.tokens(); token++) {
          if (choosesExpert(rank, token, here * load.localExperts() + local)) {
            rows.add(next++, rank, token);
          }
        }
      }
    }
    return rows.get();
  }

  private boolean choosesExpert(int rank, int token, int expert) {
    int begin = token * load.topk();
    return Arrays.binarySearch(experts[rank], begin, begin + load.topk(), expert) >= 0;
  }

  private boolean goesTo(int rank, int token, int destination) {
    for (int i = token * load.topk(); i < (token + 1) * load.topk(); i++) {
      if (experts[rank][i] / load.localExperts() == destination) {
        return true;
      }
    }
    return false;
  }

  /** Ranks that a token goes to. */
  int ranksOf(int rank, int token) {
    int count = 0;
    for (int destination = 0; destination < load.ranks(); destination++) {
      count += goesTo(rank, token, destination) ? 1 : 0;
    }
    return count;
  }

  /**
   * Average over the ranks of the (token, node) pairs that one sends rows for.
   *
   * @param ownToo whether pairs with the rank's own node count
   */
  double rowsPerTokenNode(boolean ownToo) {
    int perNode = load.ranksPerNode();
    long pairs = 0;
    for (int rank = 0; rank < load.ranks(); rank++) {
      for (int token = 0; token < load.tokens(); token++) {
        for (int node = 0; node < load.ranks() / perNode; node++) {
          boolean counts = ownToo || node != rank / perNode;
          pairs += counts && goesToNode(rank, token, node) ? 1 : 0;
        }
      }
    }
    return (double) pairs / load.ranks();
  }

  private boolean goesToNode(int rank, int token, int node) {
    int perNode = load.ranksPerNode();
    for (int to = node * perNode; to < (node + 1) * perNode; to++) {
      if (goesTo(rank, token, to)) {
        return true;
      }
    }
    return false;
  }

  /** Average over the ranks of the (token, rank) rows that one receives. */
  double rowsPerTokenRank() {
    long rows = 0;
    for (int rank = 0; rank < load.ranks(); rank++) {
      for (int token = 0; token < load.tokens(); token++) {
        rows += ranksOf(rank, token);
      }
    }
    return (double) rows / load.ranks();
  }

  /** Average over the ranks of the (token, expert) rows that one receives. */
  double rowsPerTokenExpert() {
    return (double) load.tokens() * load.topk();
  }

  private static final class Collector {
    private int[] index = new int[1024];
    private int[] rank = new int[1024];
    private int[] token = new int[1024];
    private int size;

    void add(int index, int rank, int token) {
      if (size == this.index.length) {
        this.index = Arrays.copyOf(this.index, 2 * size);
        this.rank = Arrays.copyOf(this.rank, 2 * size);
        this.token = Arrays.copyOf(this.token, 2 * size);
      }
      this.index[size] = index;
      this.rank[size] = rank;
      this.token[size++] = token;
    }

    Rows get() {
      return new Rows(
          Arrays.copyOf(index, size), Arrays.copyOf(rank, size), Arrays.copyOf(token, size));
    }
  }
}
