package io.github.deepep4j.reference;

import io.github.deepep4j.fixtures.GlobalInput;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What comes back to one rank in a normal-mode combine. With several nodes every sum is taken node
 * by node, ascending, and what each node gives is rounded to BF16 before it is added; with one it
 * is added as it is.
 */
public final class ReferenceCombine {
  private final GlobalInput input;
  private final List<Map<RowOrigin, Integer>> rowsByOrigin;
  private final int source;
  private final int hidden;
  private final int numNodes;
  private final int ranksPerNode;
  private final Set<Integer> masked;

  /** The combine of one rank where all ranks are one node. */
  public ReferenceCombine(
      GlobalInput input, List<ReferenceDispatch> received, int source, int hidden) {
    this(input, received, source, hidden, input.numRanks(), Set.of());
  }

  /**
   * Prepares the combine of one rank.
   *
   * @param input the dispatch's inputs
   * @param received what every rank received
   * @param source the rank whose tokens are summed
   * @param hidden width of the expert outputs
   * @param ranksPerNode ranks of each node
   * @param masked ranks from which nothing comes
   */
  public ReferenceCombine(
      GlobalInput input,
      List<ReferenceDispatch> received,
      int source,
      int hidden,
      int ranksPerNode,
      Set<Integer> masked) {
    this.ranksPerNode = ranksPerNode;
    this.numNodes = input.numRanks() / ranksPerNode;
    this.masked = masked;
    this.input = input;
    this.source = source;
    this.hidden = hidden;
    this.rowsByOrigin = received.stream().map(ReferenceCombine::index).toList();
  }

  /** Whether nothing comes from a rank: it is masked, or the rank by which its node's sums come. */
  private boolean isLost(int rank) {
    int proxy = rank / ranksPerNode * ranksPerNode + source % ranksPerNode;
    return masked.contains(rank) || masked.contains(proxy);
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
      List<Term> terms = new ArrayList<>();
      for (int rank = 0; rank < input.numRanks(); rank++) {
        Integer row = rowsByOrigin.get(rank).get(new RowOrigin(source, token, -1));
        if (row != null) {
          terms.add(new Term(rank, y[rank][row], null));
        }
      }
      for (int column = 0; column < hidden; column++) {
        combined[token][column] = sum(start(bias0, bias1, token, column), terms, column);
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
      List<Term> terms = new ArrayList<>();
      for (int k = 0; k < input.numTopk(); k++) {
        if (chosen[k] >= 0) {
          int rank = input.rankOf(chosen[k]);
          float weight = input.rank(source).topkWeights()[token][k];
          terms.add(new Term(rank, y[rank][row(token, k, chosen[k])], weighted ? weight : null));
        }
      }
      for (int column = 0; column < hidden; column++) {
        combined[token][column] = sum(start(bias0, bias1, token, column), terms, column);
      }
    }
    return combined;
  }

  /**
   * A row of a sum.
   *
   * @param rank where it comes from
   * @param row BF16 {@code [H]}
   * @param weight its factor, null for a plain sum
   */
  private record Term(int rank, short[] row, @Nullable Float weight) {}

  private short sum(float bias, List<Term> terms, int column) {
    float total = bias;
    for (int node = 0; node < numNodes; node++) {
      float sum = numNodes == 1 ? bias : 0f;
      for (Term term : terms) {
        if (term.rank() / ranksPerNode == node && !isLost(term.rank())) {
          float value = NumberFormats.bf16ToFloat(term.row()[column]);
          sum = term.weight() == null ? sum + value : Math.fma(term.weight(), value, sum);
        }
      }
      total =
          numNodes == 1 ? sum : total + NumberFormats.bf16ToFloat(NumberFormats.floatToBf16(sum));
    }
    return NumberFormats.floatToBf16(total);
  }

  /**
   * Rank-major: sums of the rows' weight vectors {@code [n][N][K]}, to {@code [T][K]}; node by
   * node, in float32 throughout.
   */
  public float[][] rankMajorWeights(float[][][] weights) {
    float[][] sums = new float[input.rank(source).numTokens()][input.numTopk()];
    for (int token = 0; token < sums.length; token++) {
      for (int k = 0; k < input.numTopk(); k++) {
        float sum = 0f;
        for (int node = 0; node < numNodes; node++) {
          float ofNode = 0f;
          for (int rank = node * ranksPerNode; rank < (node + 1) * ranksPerNode; rank++) {
            Integer row = rowsByOrigin.get(rank).get(new RowOrigin(source, token, -1));
            if (row != null && !isLost(rank)) {
              ofNode = ofNode + weights[rank][row][k];
            }
          }
          sum = sum + ofNode;
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
        if (chosen[k] >= 0 && !isLost(input.rankOf(chosen[k]))) {
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
