package io.github.deepep4j.normal;

import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RankInput;
import io.github.deepep4j.reference.ReferenceCombine;
import io.github.deepep4j.reference.RowOrigin;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/** One combine of all ranks, drawn beforehand, with what every rank must get back. */
final class CombineRound {
  private static final short NAN = 0x7FC1;

  /**
   * Which form is used.
   *
   * @param biases 0, 1 or 2
   * @param weightsBack whether weights go back
   * @param weighted whether rows are multiplied by the dispatch's weights
   * @param zeroCopy whether y is written to memory of the buffer
   * @param into whether the result goes to the caller's tensor
   * @param hook whether the call is in two halves
   */
  record Form(
      int biases,
      boolean weightsBack,
      boolean weighted,
      boolean zeroCopy,
      boolean into,
      boolean hook) {
    static Form plain() {
      return new Form(0, false, false, false, false, false);
    }

    /** Anything that the dispatch allows. */
    static Form draw(SplittableRandom random, io.github.deepep4j.normal.Form dispatch) {
      boolean weighted = !dispatch.isRankMajor() && dispatch.gateWeights() && random.nextBoolean();
      return new Form(
          random.nextInt(3),
          !weighted && random.nextBoolean(),
          weighted,
          random.nextBoolean(),
          random.nextBoolean(),
          random.nextBoolean());
    }

    Form withBiases(int count) {
      return new Form(count, weightsBack, weighted, zeroCopy, into, hook);
    }

    Form withWeightsBack() {
      return new Form(biases, true, weighted, zeroCopy, into, hook);
    }

    Form withWeighting() {
      return new Form(biases, weightsBack, true, zeroCopy, into, hook);
    }

    Form inPlace() {
      return new Form(biases, weightsBack, weighted, true, into, hook);
    }

    Form withStaging() {
      return new Form(biases, weightsBack, weighted, false, into, hook);
    }

    Form withInto() {
      return new Form(biases, weightsBack, weighted, zeroCopy, true, hook);
    }

    Form withHook() {
      return new Form(biases, weightsBack, weighted, zeroCopy, into, true);
    }
  }

  final Round dispatch;
  final Form form;
  final int hidden;

  /** Expert outputs {@code [n][N][H]}; rows that no token fills are NaN, which must not matter. */
  final short[][][] y;

  /** Biases {@code [2][n][T][H]}. */
  final short[][][][] biases;

  /** Weights that go back {@code [n][N][K]}, or {@code [n][N][1]} in expert-major order. */
  final float[][][] weights;

  final List<short[][]> combined = new ArrayList<>();
  final List<float[][]> combinedWeights = new ArrayList<>();

  private final Set<Integer> masked;

  CombineRound(Round dispatch, Form form, int hidden, SplittableRandom random) {
    this(dispatch, form, hidden, random, Set.of());
  }

  /** A combine to which masked ranks give nothing. */
  CombineRound(
      Round dispatch, Form form, int hidden, SplittableRandom random, Set<Integer> masked) {
    this.dispatch = dispatch;
    this.masked = masked;
    this.form = form;
    this.hidden = hidden;
    int numRanks = dispatch.input.numRanks();
    y = new short[numRanks][][];
    weights = new float[numRanks][][];
    biases = new short[2][numRanks][][];
    boolean rankMajor = dispatch.form.isRankMajor();
    int weightsPerRow = rankMajor ? dispatch.input.numTopk() : 1;
    for (int rank = 0; rank < numRanks; rank++) {
      int rows = dispatch.resultRows(rank);
      y[rank] = Inputs.cancellingRows(random, rows, hidden);
      weights[rank] = Inputs.floatRows(random, rows, weightsPerRow);
      List<RowOrigin> origins = dispatch.received.get(rank).rows;
      for (int row = 0; row < rows; row++) {
        if (row >= origins.size() || origins.get(row).isPadding()) {
          Arrays.fill(y[rank][row], NAN);
          Arrays.fill(weights[rank][row], Float.NaN);
        }
      }
      RankInput input = dispatch.input.rank(rank);
      biases[0][rank] = Inputs.cancellingRows(random, input.numTokens(), hidden);
      biases[1][rank] = Inputs.cancellingRows(random, input.numTokens(), hidden);
    }
    for (int rank = 0; rank < numRanks; rank++) {
      expect(rank, rankMajor);
    }
  }

  private void expect(int rank, boolean rankMajor) {
    ReferenceCombine reference =
        new ReferenceCombine(
            dispatch.input, dispatch.received, rank, hidden, dispatch.ranksPerNode, masked);
    short @Nullable [][] bias0 = form.biases() > 0 ? biases[0][rank] : null;
    short @Nullable [][] bias1 = form.biases() > 1 ? biases[1][rank] : null;
    combined.add(
        rankMajor
            ? reference.rankMajor(y, bias0, bias1)
            : reference.expertMajor(y, form.weighted(), bias0, bias1));
    combinedWeights.add(
        rankMajor
            ? reference.rankMajorWeights(weights)
            : reference.expertMajorWeights(
                Arrays.stream(weights).map(CombineRound::flat).toArray(float[][]::new)));
  }

  /** Expert-major weights have one value per row. */
  static float[] flat(float[][] rows) {
    float[] values = new float[rows.length];
    for (int row = 0; row < rows.length; row++) {
      values[row] = rows[row][0];
    }
    return values;
  }

  @Override
  public String toString() {
    return form + " H=" + hidden + " after " + dispatch;
  }
}
