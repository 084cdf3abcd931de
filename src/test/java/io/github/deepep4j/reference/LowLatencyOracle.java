package io.github.deepep4j.reference;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** One low-latency dispatch and its combine, seen from above all ranks. */
public final class LowLatencyOracle {
  private final Shape shape;
  private final long[][] topkIdx;
  private final List<List<Row>> rowsOfExpert = new ArrayList<>();

  /**
   * What is the same for all calls of a buffer, and K.
   *
   * @param numRanks n
   * @param numExperts over all ranks
   * @param maxTokens M
   * @param hidden H
   * @param numTopk K
   */
  public record Shape(int numRanks, int numExperts, int maxTokens, int hidden, int numTopk) {
    /** Experts of one rank. */
    public int localExperts() {
      return numExperts / numRanks;
    }

    /** Rows that an expert has place for. */
    public int rowsPerExpert() {
      return numRanks * maxTokens;
    }
  }

  /**
   * A row that an expert receives.
   *
   * @param source rank of the token
   * @param token index in its rank
   */
  public record Row(int source, int token) {}

  /**
   * Routes.
   *
   * @param shape the sizes
   * @param topkIdx per rank {@code [T, K]}
   */
  public LowLatencyOracle(Shape shape, long[][] topkIdx) {
    this.shape = shape;
    this.topkIdx = topkIdx;
    for (int expert = 0; expert < shape.numExperts; expert++) {
      List<Row> rows = new ArrayList<>();
      for (int source = 0; source < shape.numRanks; source++) {
        for (int token = 0; token < topkIdx[source].length / shape.numTopk; token++) {
          for (int k = 0; k < shape.numTopk; k++) {
            if (topkIdx[source][token * shape.numTopk + k] == expert) {
              rows.add(new Row(source, token));
            }
          }
        }
      }
      rowsOfExpert.add(rows);
    }
  }

  /** An expert's rows, packed: by source rank, inside it by token. */
  public List<Row> rows(int expert) {
    return rowsOfExpert.get(expert);
  }

  /** Rows of each expert of a rank. */
  public int[] counts(int rank) {
    int[] counts = new int[shape.localExperts()];
    for (int local = 0; local < counts.length; local++) {
      counts[local] = rows(rank * counts.length + local).size();
    }
    return counts;
  }

  /** Where each source's rows lie at each expert of a rank: {@code (begin << 32) | count}. */
  public long[] layoutRange(int rank) {
    long[] ranges = new long[shape.localExperts() * shape.numRanks];
    for (int local = 0; local < shape.localExperts(); local++) {
      long begin = 0;
      for (int source = 0; source < shape.numRanks; source++) {
        int wanted = source;
        long count =
            rows(rank * shape.localExperts() + local).stream()
                .filter(row -> row.source == wanted)
                .count();
        ranges[local * shape.numRanks + source] = (begin << 32) | count;
        begin += count;
      }
    }
    return ranges;
  }

  /**
   * A rank's combined tokens.
   *
   * @param rank the tokens' rank
   * @param weights of its choices, {@code [T, K]}
   * @param outputs of every expert: {@code [numExperts][n·M·H]} BF16
   * @param logFmt whether rows travel as LogFMT-10
   * @return BF16 {@code [T, H]}
   */
  public short[] combine(int rank, float[] weights, short[][] outputs, boolean logFmt) {
    int hidden = shape.hidden;
    short[] combined = new short[topkIdx[rank].length / shape.numTopk * hidden];
    for (int token = 0; token < combined.length / hidden; token++) {
      float[] sums = new float[hidden];
      for (int k = 0; k < shape.numTopk; k++) {
        int choice = token * shape.numTopk + k;
        int expert = (int) topkIdx[rank][choice];
        if (expert < 0) {
          continue;
        }
        int row = rows(expert).indexOf(new Row(rank, token));
        short[] y = Arrays.copyOfRange(outputs[expert], row * hidden, (row + 1) * hidden);
        float[] decoded = logFmt ? ReferenceLogFmt.roundTrip(y) : widen(y);
        for (int i = 0; i < hidden; i++) {
          sums[i] = Math.fma(weights[choice], decoded[i], sums[i]);
        }
      }
      for (int i = 0; i < hidden; i++) {
        combined[token * hidden + i] = NumberFormats.floatToBf16(sums[i]);
      }
    }
    return combined;
  }

  private static float[] widen(short[] row) {
    float[] values = new float[row.length];
    for (int i = 0; i < row.length; i++) {
      values[i] = NumberFormats.bf16ToFloat(row[i]);
    }
    return values;
  }
}
