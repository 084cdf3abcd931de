package io.github.deepep4j.reference;

import io.github.deepep4j.fixtures.GlobalInput;

/** Counts of one rank's routing. */
public final class ReferenceLayout {
  /** Tokens with at least one expert on each rank. */
  public final int[] numTokensPerRank;

  /** Tokens with at least one expert on each node. */
  public final int[] numTokensPerNode;

  /** Choices of each expert. */
  public final int[] numTokensPerExpert;

  /** 1 where a token has an expert on a rank {@code [T][n]}. */
  public final byte[][] isTokenInRank;

  /** Counts the routing of one rank, all ranks being one node. */
  public ReferenceLayout(GlobalInput input, int rank) {
    this(input, rank, input.numRanks());
  }

  /** Counts the routing of one rank. */
  public ReferenceLayout(GlobalInput input, int rank, int ranksPerNode) {
    long[][] topkIdx = input.rank(rank).topkIdx();
    numTokensPerRank = new int[input.numRanks()];
    numTokensPerNode = new int[input.numRanks() / ranksPerNode];
    numTokensPerExpert = new int[input.numExperts()];
    isTokenInRank = new byte[topkIdx.length][input.numRanks()];
    for (int token = 0; token < topkIdx.length; token++) {
      for (int destination = 0; destination < input.numRanks(); destination++) {
        for (long expert : topkIdx[token]) {
          if (expert >= 0 && input.rankOf(expert) == destination) {
            isTokenInRank[token][destination] = 1;
          }
        }
        numTokensPerRank[destination] += isTokenInRank[token][destination];
      }
      for (int node = 0; node < numTokensPerNode.length; node++) {
        boolean anyThere = false;
        for (long expert : topkIdx[token]) {
          anyThere |= expert >= 0 && input.rankOf(expert) / ranksPerNode == node;
        }
        numTokensPerNode[node] += anyThere ? 1 : 0;
      }
      for (long expert : topkIdx[token]) {
        if (expert >= 0) {
          numTokensPerExpert[(int) expert]++;
        }
      }
    }
  }
}
