package io.github.deepep4j.process;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.LowLatencyCombine;
import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.LowLatencyDispatch;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.fixtures.Expect;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.RankInput;
import io.github.deepep4j.reference.NumberFormats;
import io.github.deepep4j.reference.ReferenceCombine;
import io.github.deepep4j.reference.ReferenceDispatch;
import io.github.deepep4j.reference.RowOrigin;
import io.github.deepep4j.tensor.DType;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Rounds in which a rank may be lost, checked row by row. Every rank sends what it would send to a
 * whole group: it does not know what has happened to the lost one.
 */
final class SurvivorRounds {
  private final Buffer buffer;
  private final int self;
  private final Duration deadline;

  /** What has become of the lost rank's part. */
  enum Lost {
    /** Nobody is lost. */
    NOBODY,
    /** It never entered the call. */
    BEFORE_COUNTS,
    /** It has told how many rows it has, and no more. */
    AFTER_COUNTS,
    /** Its rows have arrived, but it gives no outputs. */
    AFTER_ROWS
  }

  SurvivorRounds(Buffer buffer, int self, Duration deadline) {
    this.buffer = buffer;
    this.self = self;
    this.deadline = deadline;
  }

  /** Normal mode, rank-major: what came in goes back. */
  void normal(LowLatencyRound round, Lost lost, int lostRank) {
    GlobalInput sent = round.forNormalMode();
    GlobalInput without = lost == Lost.NOBODY ? sent : round.without(lostRank).forNormalMode();
    RankInput mine = sent.rank(self);
    try (HostTensors tensors = new HostTensors();
        DispatchResult rows =
            buffer.dispatch(
                tensors.bf16(mine.x(), sent.hidden()),
                tensors.indices(mine.topkIdx(), sent.numTopk(), DType.INT64),
                tensors.floats(mine.topkWeights(), sent.numTopk()),
                DispatchOptions.defaults().timeout(deadline));
        DispatchHandle handle = rows.handle()) {
      checkRows(lost == Lost.AFTER_COUNTS ? sent : without, lostRank, rows);
      try (CombineResult sums =
          buffer.combine(rows.x(), handle, CombineOptions.defaults().timeout(deadline))) {
        Expect.bf16("sums", combined(without), sent.hidden(), sums.combined());
      }
    }
  }

  /** Every row that the counts named, those of the lost rank empty. */
  private void checkRows(GlobalInput counted, int lostRank, DispatchResult rows) {
    ReferenceDispatch expected = ReferenceDispatch.rankMajor(counted, self, 1);
    List<RowOrigin> origins = expected.rows;
    short[][] x = new short[origins.size()][];
    long[][] topkIdx = expected.topkIdx();
    float[][] weights = expected.topkWeights();
    for (int row = 0; row < x.length; row++) {
      RowOrigin origin = origins.get(row);
      if (origin.sourceRank() == lostRank) {
        x[row] = new short[counted.hidden()];
        Arrays.fill(topkIdx[row], -1);
        Arrays.fill(weights[row], 0f);
      } else {
        x[row] = counted.rank(origin.sourceRank()).x()[origin.sourceToken()];
      }
    }
    Expect.ints("rank prefix", expected.rankPrefix, rows.rankPrefix());
    Expect.ints("tokens per expert", expected.tokensPerExpert, rows.tokensPerExpert());
    Expect.bf16("rows", x, counted.hidden(), rows.x());
    Expect.indices("choices", topkIdx, counted.numTopk(), DType.INT64, rows.topkIdx());
    Expect.floats("weights", weights, counted.numTopk(), rows.topkWeights());
  }

  private short[][] combined(GlobalInput input) {
    List<ReferenceDispatch> received = new ArrayList<>();
    short[][][] y = new short[input.numRanks()][][];
    for (int rank = 0; rank < y.length; rank++) {
      ReferenceDispatch there = ReferenceDispatch.rankMajor(input, rank, 1);
      received.add(there);
      y[rank] =
          there.rows.stream()
              .map(row -> input.rank(row.sourceRank()).x()[row.sourceToken()])
              .toArray(short[][]::new);
    }
    return new ReferenceCombine(input, received, self, input.hidden()).rankMajor(y, null, null);
  }

  /** Low latency: what came in goes back. */
  void lowLatency(LowLatencyRound round, Lost lost, int lostRank) {
    LowLatencyRound arrives = lost == Lost.BEFORE_COUNTS ? round.without(lostRank) : round;
    try (LowLatencyRank rank = new LowLatencyRank(buffer, self, true);
        LowLatencyDispatch rows =
            rank.dispatch(round, LowLatencyDispatchOptions.defaults().timeout(deadline))) {
      rank.checkDispatch(arrives, rows, null);
      try (LowLatencyCombine sums =
          buffer.lowLatencyCombine(
              rows.x(),
              rank.weights(round),
              rows.handle(),
              LowLatencyCombineOptions.defaults().timeout(deadline))) {
        int hidden = round.shape().hidden();
        Expect.bf16("sums", weighted(round, lostRank), hidden, sums.combined());
      }
    }
  }

  /** Every token times the weights of its choices that are not on the lost rank. */
  private short[][] weighted(LowLatencyRound round, int lostRank) {
    GlobalInput input = round.forNormalMode();
    RankInput mine = input.rank(self);
    short[][] sums = new short[mine.numTokens()][input.hidden()];
    for (int token = 0; token < sums.length; token++) {
      for (int i = 0; i < input.hidden(); i++) {
        float sum = 0f;
        for (int k = 0; k < input.numTopk(); k++) {
          long expert = mine.topkIdx()[token][k];
          if (expert >= 0 && input.rankOf(expert) != lostRank) {
            float value = NumberFormats.bf16ToFloat(mine.x()[token][i]);
            sum = Math.fma(mine.topkWeights()[token][k], value, sum);
          }
        }
        sums[token][i] = NumberFormats.floatToBf16(sum);
      }
    }
    return sums;
  }
}
