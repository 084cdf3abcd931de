package io.github.deepep4j.reference;

import io.github.deepep4j.fixtures.GlobalInput;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** What comes back to one rank in a normal-mode combine. */
public final class ReferenceCombine {
  private final GlobalInput input;
  private final List<Map<RowOrigin, Integer>> rowsByOrigin;
  private final int source;
  private final int hidden;

  /**
   * Prepares the combine of one rank.
   *
   * @param input the dispatch's inputs
   * @param received what every rank received
   * @param source the rank whose tokens are summed
   * @param hidden width of the expert outputs
   */
  public ReferenceCombine(
      GlobalInput input, List<ReferenceDispatch> received, int source, int hidden) {
    this.input = input;
    this.source = source;
    this.hidden = hidden;
    this.rowsByOrigin = received.stream().map(ReferenceCombine::index).toList();
  }

  private static Map<RowOrigin, Integer> index(ReferenceDispatch received) {
    Map<RowOrigin, Integer> rows = new HashMap<>();
    for (int row = 0; row < received.rows.size(); row++) {
      rows.put(received.rows.get(row), row);
    }
    return rows;
  }

  /**
   * Sums rows in rank-major order.
   *
   * @param y every rank's expert outputs {@code [n][N][H]}
   * @param bias0 {@code [T][H]} or null
   * @param bias1 {@code [T][H]} or null
   * @return {@code [T][H]}
   */
  public short[][] rankMajor(
      short[][][] y, short @Nullable [][] bias0, short @Nullable [][] bias1) {
    short[][] combined = new short[input.rank(source).numTokens()][hidden];
    for (int token = 0; token < combined.length; token++) {
      List<short[]> rows = new ArrayList<>();
      for (int rank = 0; rank < input.numRanks(); rank++) {
        Integer row = rowsByOrigin.get(rank).get(new RowOrigin(source, token, -1));
        if (row != null) {
          rows.add(y[rank][row]);
        }
      }
      for (int column = 0; column < hidden; column++) {
        float sum = start(bias0, bias1, token, column);
        for (short[] row : rows) {
          sum = sum + NumberFormats.bf16ToFloat(row[column]);
        }
        combined[token][column] = NumberFormats.floatToBf16(sum);
      }
    }
    return combined;
  }

  /**
   * Sums rows in expert-major order.
   *
   * @param y every rank's expert outputs {@code [n][N][H]}
   * @param weighted whether rows are multiplied by the dispatch's gate weights
   * @param bias0 {@code [T][H]} or null
   * @param bias1 {@code [T][H]} or null
   * @return {@code [T][H]}
   */
  public short[][] expertMajor(
      short[][][] y, boolean weighted, short @Nullable [][] bias0, short @Nullable [][] bias1) {
    short[][] combined = new short[input.rank(source).numTokens()][hidden];
    for (int token = 0; token < combined.length; token++) {
      long[] chosen = input.rank(source).topkIdx()[token];
      List<short[]> rows = new ArrayList<>();
      List<Float> weights = new ArrayList<>();
      for (int k = 0; k < input.numTopk(); k++) {
        if (chosen[k] >= 0) {
          rows.add(y[input.rankOf(chosen[k])][row(token, k, chosen[k])]);
          weights.add(input.rank(source).topkWeights()[token][k]);
        }
      }
      for (int column = 0; column < hidden; column++) {
        float sum = start(bias0, bias1, token, column);
        for (int i = 0; i < rows.size(); i++) {
          float value = NumberFormats.bf16ToFloat(rows.get(i)[column]);
          sum = weighted ? Math.fma(weights.get(i), value, sum) : sum + value;
        }
        combined[token][column] = NumberFormats.floatToBf16(sum);
      }
    }
    return combined;
  }

  /** Rank-major: sums of the rows' weight vectors {@code [n][N][K]}, to {@code [T][K]}. */
  public float[][] rankMajorWeights(float[][][] weights) {
    float[][] sums = new float[input.rank(source).numTokens()][input.numTopk()];
    for (int token = 0; token < sums.length; token++) {
      for (int k = 0; k < input.numTopk(); k++) {
        float sum = 0f;
        for (int rank = 0; rank < input.numRanks(); rank++) {
          Integer row = rowsByOrigin.get(rank).get(new RowOrigin(source, token, -1));
          if (row != null) {
            sum = sum + weights[rank][row][k];
          }
        }
        sums[token][k] = sum;
      }
    }
    return sums;
  }

  /** Expert-major: each row's weight {@code [n][N]} back at its slot, {@code [T][K]}. */
  public float[][] expertMajorWeights(float[][] weights) {
    float[][] back = new float[input.rank(source).numTokens()][input.numTopk()];
    for (int token = 0; token < back.length; token++) {
      long[] chosen = input.rank(source).topkIdx()[token];
      for (int k = 0; k < input.numTopk(); k++) {
        if (chosen[k] >= 0) {
          back[token][k] = weights[input.rankOf(chosen[k])][row(token, k, chosen[k])];
        }
      }
    }
    return back;
  }

  private int row(int token, int slot, long expert) {
    Integer row = rowsByOrigin.get(input.rankOf(expert)).get(new RowOrigin(source, token, slot));
    if (row == null) {
      throw new AssertionError("token " + token + ", slot " + slot + " was received nowhere");
    }
    return row;
  }

  private static float start(
      short @Nullable [][] bias0, short @Nullable [][] bias1, int token, int column) {
    float sum = 0f;
    if (bias0 != null) {
      float bias = NumberFormats.bf16ToFloat(bias0[token][column]);
      if (bias1 != null) {
        bias = bias + NumberFormats.bf16ToFloat(bias1[token][column]);
      }
      sum = sum + bias;
    }
    return sum;
  }
}
