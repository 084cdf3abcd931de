package io.github.deepep4j.reference;

import io.github.deepep4j.fixtures.GlobalInput;
import java.util.ArrayList;
import java.util.List;

/** What one rank receives in a normal-mode dispatch: the origin of each row, and the counts. */
public final class ReferenceDispatch {
  /** Rows in order, padding included. */
  public final List<RowOrigin> rows = new ArrayList<>();

  /** Rank-major: rows from ranks up to i. */
  public final int[] rankPrefix;

  /** Rank-major: choices of each local expert, rounded up. Expert-major: real rows. */
  public final int[] tokensPerExpert;

  /** Expert-major: where groups begin, and the end. */
  public final int[] expertOffsets;

  private final GlobalInput input;
  private final int destination;

  private ReferenceDispatch(GlobalInput input, int destination) {
    this.input = input;
    this.destination = destination;
    rankPrefix = new int[input.numRanks()];
    tokensPerExpert = new int[input.localExperts()];
    expertOffsets = new int[input.localExperts() + 1];
  }

  /** One row per token that chose any expert here, by source rank and token. */
  public static ReferenceDispatch rankMajor(GlobalInput input, int destination, int alignment) {
    ReferenceDispatch result = new ReferenceDispatch(input, destination);
    for (int source = 0; source < input.numRanks(); source++) {
      long[][] topkIdx = input.rank(source).topkIdx();
      for (int token = 0; token < topkIdx.length; token++) {
        int choicesHere = 0;
        for (long expert : topkIdx[token]) {
          if (result.isHere(expert)) {
            choicesHere++;
            result.tokensPerExpert[input.localExpert(expert)]++;
          }
        }
        if (choicesHere > 0) {
          result.rows.add(new RowOrigin(source, token, -1));
        }
      }
      result.rankPrefix[source] = result.rows.size();
    }
    for (int expert = 0; expert < input.localExperts(); expert++) {
      while (result.tokensPerExpert[expert] % alignment != 0) {
        result.tokensPerExpert[expert]++;
      }
    }
    return result;
  }

  /** One row per choice of an expert here, by expert, source rank and token, groups padded. */
  public static ReferenceDispatch expertMajor(GlobalInput input, int destination, int alignment) {
    ReferenceDispatch result = new ReferenceDispatch(input, destination);
    for (int local = 0; local < input.localExperts(); local++) {
      result.expertOffsets[local] = result.rows.size();
      for (int source = 0; source < input.numRanks(); source++) {
        long[][] topkIdx = input.rank(source).topkIdx();
        for (int token = 0; token < topkIdx.length; token++) {
          for (int k = 0; k < input.numTopk(); k++) {
            long expert = topkIdx[token][k];
            if (result.isHere(expert) && input.localExpert(expert) == local) {
              result.rows.add(new RowOrigin(source, token, k));
              result.tokensPerExpert[local]++;
            }
          }
        }
      }
      while (result.rows.size() % alignment != 0) {
        result.rows.add(RowOrigin.PADDING);
      }
    }
    result.expertOffsets[input.localExperts()] = result.rows.size();
    return result;
  }

  /** N. */
  public int numReceived() {
    return rows.size();
  }

  /** Rank-major: each row's choices among the local experts, −1 elsewhere {@code [N][K]}. */
  public long[][] topkIdx() {
    long[][] local = new long[rows.size()][input.numTopk()];
    for (int row = 0; row < local.length; row++) {
      long[] chosen = choices(rows.get(row));
      for (int k = 0; k < input.numTopk(); k++) {
        local[row][k] = isHere(chosen[k]) ? input.localExpert(chosen[k]) : -1;
      }
    }
    return local;
  }

  /** Rank-major: weights of the local choices, 0 elsewhere {@code [N][K]}. */
  public float[][] topkWeights() {
    float[][] local = new float[rows.size()][input.numTopk()];
    for (int row = 0; row < local.length; row++) {
      RowOrigin origin = rows.get(row);
      long[] chosen = choices(origin);
      for (int k = 0; k < input.numTopk(); k++) {
        if (isHere(chosen[k])) {
          local[row][k] = input.rank(origin.sourceRank()).topkWeights()[origin.sourceToken()][k];
        }
      }
    }
    return local;
  }

  /** Expert-major: each row's weight, 0 for padding. */
  public float[] weights() {
    float[] weights = new float[rows.size()];
    for (int row = 0; row < weights.length; row++) {
      RowOrigin origin = rows.get(row);
      if (!origin.isPadding()) {
        weights[row] =
            input.rank(origin.sourceRank()).topkWeights()[origin.sourceToken()][origin.topkSlot()];
      }
    }
    return weights;
  }

  private long[] choices(RowOrigin origin) {
    return input.rank(origin.sourceRank()).topkIdx()[origin.sourceToken()];
  }

  private boolean isHere(long expert) {
    return expert >= 0 && input.rankOf(expert) == destination;
  }
}
