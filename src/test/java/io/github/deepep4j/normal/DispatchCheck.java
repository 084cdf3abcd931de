package io.github.deepep4j.normal;

import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.fixtures.Expect;
import io.github.deepep4j.reference.ReferenceDispatch;
import io.github.deepep4j.reference.RowOrigin;
import io.github.deepep4j.tensor.DType;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Compares one rank's dispatch result with the oracle: every row and every byte of every tensor.
 */
final class DispatchCheck {
  private final Round round;
  private final ReferenceDispatch expected;
  private final String what;
  private final int resultRows;
  private final int numTopk;

  DispatchCheck(Round round, int rank) {
    this.round = round;
    this.expected = round.received.get(rank);
    this.what = "rank " + rank + " of " + round;
    this.resultRows = round.resultRows(rank);
    this.numTopk = round.input.numTopk();
  }

  void check(DispatchResult result) {
    checkRows(round.payload, result);
    checkCounts(result);
    Expect.ints(what + ": sourceToken", origins(RowOrigin::sourceToken), result.sourceToken());
    if (round.form.isRankMajor()) {
      checkRankMajor(result);
    } else {
      checkExpertMajor(result);
    }
  }

  /** The rows and their scales, which every form has. */
  void checkRows(Payload payload, DispatchResult result) {
    byte @Nullable [][] rows = new byte[resultRows][];
    int @Nullable [][] scales = new int[resultRows][];
    for (int row = 0; row < expected.numReceived(); row++) {
      RowOrigin origin = expected.rows.get(row);
      if (!origin.isPadding()) {
        rows[row] = payload.wireRow(origin.sourceRank(), origin.sourceToken());
        if (payload.scaleWords > 0) {
          scales[row] = payload.scaleRow(origin.sourceRank(), origin.sourceToken());
        }
      } else if (round.form.zeroFill()) {
        rows[row] = new byte[payload.hidden * payload.wireType().bytes()];
        scales[row] = new int[payload.scaleWords];
      }
    }
    Expect.bytes(what + ": x", rows, payload.hidden, payload.wireType(), result.x());
    if (payload.scaleWords > 0) {
      Expect.words(
          what + ": scales", scales, payload.scaleWords, payload.scaleType(), result.scales());
    } else {
      RankEnd.requireRefused(what + ": scales", result::scales);
    }
  }

  private void checkCounts(DispatchResult result) {
    Expect.ints(
        what + ": tokensPerExpert", expected.tokensPerExpert, result.tokensPerExpertTensor());
    if (round.form.isBounded()) {
      Expect.ints(
          what + ": numReceived", new int[] {expected.numReceived()}, result.numReceivedTensor());
      RankEnd.requireRefused(what + ": numReceived()", result::numReceived);
      RankEnd.requireRefused(what + ": tokensPerExpert()", result::tokensPerExpert);
    } else {
      Expect.ints(
          what + ": numReceived",
          new int[] {expected.numReceived()},
          new int[] {result.numReceived()});
      Expect.ints(what + ": tokensPerExpert()", expected.tokensPerExpert, result.tokensPerExpert());
      RankEnd.requireRefused(what + ": numReceivedTensor", result::numReceivedTensor);
    }
  }

  private void checkRankMajor(DispatchResult result) {
    long[][] topkIdx = Arrays.copyOf(expected.topkIdx(), resultRows);
    float[][] weights = Arrays.copyOf(expected.topkWeights(), resultRows);
    for (int row = expected.numReceived(); row < resultRows; row++) {
      topkIdx[row] = new long[numTopk];
      Arrays.fill(topkIdx[row], -1);
      weights[row] = new float[numTopk];
    }
    DType indexType = round.form.indexType();
    Expect.indices(what + ": topkIdx", topkIdx, numTopk, indexType, result.topkIdx());
    if (round.form.gateWeights()) {
      Expect.floats(what + ": topkWeights", weights, numTopk, result.topkWeights());
    } else {
      RankEnd.requireRefused(what + ": topkWeights", result::topkWeights);
    }
    Expect.ints(what + ": rankPrefix", expected.rankPrefix, result.rankPrefix());
    RankEnd.requireRefused(what + ": expertOffsets", result::expertOffsets);
    RankEnd.requireRefused(what + ": weight", result::weight);
    RankEnd.requireRefused(what + ": sourceRank", result::sourceRank);
    RankEnd.requireRefused(what + ": topkSlot", result::topkSlot);
  }

  private void checkExpertMajor(DispatchResult result) {
    Expect.ints(what + ": expertOffsets", expected.expertOffsets, result.expertOffsets());
    Expect.ints(what + ": sourceRank", origins(RowOrigin::sourceRank), result.sourceRank());
    Expect.ints(what + ": topkSlot", origins(RowOrigin::topkSlot), result.topkSlot());
    if (round.form.gateWeights()) {
      Expect.floats(
          what + ": weight", Arrays.copyOf(expected.weights(), resultRows), result.weight());
    } else {
      RankEnd.requireRefused(what + ": weight", result::weight);
    }
    RankEnd.requireRefused(what + ": rankPrefix", result::rankPrefix);
    RankEnd.requireRefused(what + ": topkIdx", result::topkIdx);
    RankEnd.requireRefused(what + ": topkWeights", result::topkWeights);
  }

  private int[] origins(java.util.function.ToIntFunction<RowOrigin> field) {
    int[] values = new int[resultRows];
    Arrays.fill(values, -1);
    List<RowOrigin> rows = expected.rows;
    for (int row = 0; row < rows.size(); row++) {
      values[row] = field.applyAsInt(rows.get(row));
    }
    return values;
  }
}
