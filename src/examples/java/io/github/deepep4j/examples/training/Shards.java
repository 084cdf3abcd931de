package io.github.deepep4j.examples.training;

/**
 * How a rank's token rows are laid out: its shards one after another, each with the same number of
 * tokens per step.
 *
 * @param total shards of the whole run, whatever the number of ranks
 * @param first the rank's first shard
 * @param count the rank's number of shards
 * @param tokens tokens of one shard in one step
 */
record Shards(int total, int first, int count, int tokens) {
  /** The part of one rank. */
  static Shards ofRank(int total, int tokens, int rank, int numRanks) {
    if (total % numRanks != 0) {
      throw new IllegalArgumentException(
          "the number of shards " + total + " must be a multiple of the ranks " + numRanks);
    }
    int count = total / numRanks;
    return new Shards(total, rank * count, count, tokens);
  }

  /** Rows of this rank. */
  int rows() {
    return count * tokens;
  }

  /** First row of the rank's i-th shard. */
  int from(int i) {
    return i * tokens;
  }

  /** Row after the last one of the rank's i-th shard. */
  int to(int i) {
    return (i + 1) * tokens;
  }

  /** What a mean over all tokens of all ranks divides by. */
  int tokensOfAllRanks() {
    return total * tokens;
  }
}
