package io.github.deepep4j.reference;

import io.github.deepep4j.fixtures.GlobalInput;

/** Counts of one rank's routing. */
public final class ReferenceLayout {
  /** Tokens with at least one expert on each rank. */
  public final int[] numTokensPerRank;

  /** Choices of each expert. */
  public final int[] numTokensPerExpert;

  /** 1 where a token has an expert on a rank {@code [T][n]}. */
  public final byte[][] isTokenInRank;

  /** Tokens with at least one expert anywhere. */
  public final int numTokensAnywhere;

  /** Counts the routing of one rank. */
  public ReferenceLayout(GlobalInput input, int rank) {
    long[][] topkIdx = input.rank(rank).topkIdx();
    numTokensPerRank = new int[input.numRanks()];
    numTokensPerExpert = new int[input.numExperts()];
    isTokenInRank = new byte[topkIdx.length][input.numRanks()];
    int anywhere = 0;
    for (int token = 0; token < topkIdx.length; token++) {
      boolean sent = false;
      for (int destination = 0; destination < input.numRanks(); destination++) {
        for (long expert : topkIdx[token]) {
          if (expert >= 0 && input.rankOf(expert) == destination) {
            isTokenInRank[token][destination] = 1;
          }
        }
        numTokensPerRank[destination] += isTokenInRank[token][destination];
        sent |= isTokenInRank[token][destination] == 1;
      }
      for (long expert : topkIdx[token]) {
        if (expert >= 0) {
          numTokensPerExpert[(int) expert]++;
        }
      }
      anywhere += sent ? 1 : 0;
    }
    numTokensAnywhere = anywhere;
  }
}
