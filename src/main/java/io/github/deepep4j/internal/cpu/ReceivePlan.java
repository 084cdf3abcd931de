package io.github.deepep4j.internal.cpu;

import org.jspecify.annotations.Nullable;

/**
 * What a destination has decided about the rows it receives: how many come from whom, and where
 * each source's rows begin. Prefix sums over the sources in rank order; a masked source has no
 * rows. Immutable; a cached dispatch uses it again.
 */
final class ReceivePlan {
  /** Rows with padding. */
  final int numReceived;

  /** Rank-major: rows of each source. */
  final int[] rowsFrom;

  /** Rank-major: first row of each source. */
  final int[] base;

  /** Expert-major: rows of each source for each local expert. */
  final int[][] expertRows;

  /** Expert-major: first row of each source for each local expert. */
  final int[][] expertBase;

  /** Expert-major: first row of each group, and the end. */
  final int[] expertOffsets;

  /** Aligned counts in rank-major order, real ones in expert-major order. */
  final int[] tokensPerExpert;

  final boolean rankMajor;

  /**
   * Decides.
   *
   * @param counts what each source announced; null for one that is masked
   * @param localExperts experts here
   * @param rankMajor order of the rows
   * @param alignment of counts or groups
   */
  ReceivePlan(
      Messages.@Nullable Counts[] counts, int localExperts, boolean rankMajor, int alignment) {
    this.rankMajor = rankMajor;
    int numRanks = counts.length;
    rowsFrom = new int[numRanks];
    base = new int[numRanks];
    expertRows = new int[numRanks][localExperts];
    expertBase = new int[numRanks][localExperts];
    expertOffsets = new int[localExperts + 1];
    tokensPerExpert = new int[localExperts];
    int rows = 0;
    for (int source = 0; source < numRanks; source++) {
      Messages.Counts from = counts[source];
      base[source] = rows;
      if (from != null) {
        rowsFrom[source] = from.rows();
        expertRows[source] = from.perExpert();
        rows = Math.addExact(rows, from.rows());
      }
    }
    long end = 0;
    for (int expert = 0; expert < localExperts; expert++) {
      expertOffsets[expert] = Math.toIntExact(end);
      int real = 0;
      for (int source = 0; source < numRanks; source++) {
        expertBase[source][expert] = Math.toIntExact(end + real);
        real += expertRows[source][expert];
      }
      long aligned = ((long) real + alignment - 1) / alignment * alignment;
      tokensPerExpert[expert] = rankMajor ? Math.toIntExact(aligned) : real;
      end += rankMajor ? 0 : aligned; // rank-major counts may be rounded up to more than int32
    }
    expertOffsets[localExperts] = Math.toIntExact(end);
    numReceived = rankMajor ? rows : expertOffsets[localExperts];
  }

  /** Rows that counts amount to, padding included: {@link #numReceived} without its overflow. */
  static long rows(Messages.@Nullable Counts[] counts, boolean rankMajor, int alignment) {
    long rows = 0;
    long[] perExpert = new long[0];
    for (Messages.Counts from : counts) {
      if (from != null) {
        rows += from.rows();
        perExpert = perExpert.length == 0 ? new long[from.perExpert().length] : perExpert;
        for (int expert = 0; expert < perExpert.length; expert++) {
          perExpert[expert] += from.perExpert()[expert];
        }
      }
    }
    if (rankMajor) {
      return rows;
    }
    long padded = 0;
    for (long real : perExpert) {
      padded += (real + alignment - 1) / alignment * alignment;
    }
    return padded;
  }

  /** Something done to the rows from {@code begin} to {@code end}. */
  interface RowRange {
    void apply(int begin, int end);
  }

  /** Applies to each range of one source's rows. */
  void forRowsOf(int source, RowRange action) {
    if (rankMajor) {
      action.apply(base[source], base[source] + rowsFrom[source]);
      return;
    }
    for (int expert = 0; expert < tokensPerExpert.length; expert++) {
      int begin = expertBase[source][expert];
      action.apply(begin, begin + expertRows[source][expert]);
    }
  }

  /** Applies to each range of padding rows between groups. */
  void forPadding(RowRange action) {
    if (!rankMajor) {
      for (int expert = 0; expert < tokensPerExpert.length; expert++) {
        action.apply(expertOffsets[expert] + tokensPerExpert[expert], expertOffsets[expert + 1]);
      }
    }
  }

  /** Real rows of one source. */
  int realRowsOf(int source) {
    if (rankMajor) {
      return rowsFrom[source];
    }
    int rows = 0;
    for (int count : expertRows[source]) {
      rows += count;
    }
    return rows;
  }

  /** Inclusive prefix sums of the rows of the sources. */
  int[] rankPrefix() {
    int[] prefix = new int[base.length];
    for (int source = 0; source < base.length; source++) {
      prefix[source] = base[source] + rowsFrom[source];
    }
    return prefix;
  }
}
