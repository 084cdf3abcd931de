package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.RowOrder;

/**
 * One normal-mode dispatch region: every received row at its final place, and beside it what is
 * known about the row. The receiver chooses the capacity and tells it in its grant; sender and
 * receiver build the same layout from it.
 *
 * <pre>
 *   x               [C, rowBytes]
 *   scales          [C, scaleWords · 4]
 *   topkIdx         [C, K] of the routing's dtype       rank-major
 *   topkWeights     [C, K] float32                      rank-major
 *   weight          [C] float32                         expert-major
 *   sourceRank      [C] int32                           expert-major
 *   topkSlot        [C] int32                           expert-major
 *   sourceToken     [C] int32
 *   rankPrefix      [n] int32
 *   expertOffsets   [localExperts + 1] int32
 *   tokensPerExpert [localExperts] int32
 *   numReceived     [1] int32
 * </pre>
 *
 * <p>Fields start on cache lines. A cached dispatch has the first two only.
 *
 * @param form what a row carries
 * @param numRanks n
 * @param localExperts experts per rank
 * @param rows C
 */
record RegionLayout(Form form, int numRanks, int localExperts, long rows) {
  /**
   * What a row carries.
   *
   * @param order order of the rows
   * @param rowBytes bytes of one row of x
   * @param scaleWords 4-byte words of scales per row
   * @param numTopk K; 0 for a cached dispatch, which carries no metadata
   * @param indexBytes size of one expert index
   */
  record Form(RowOrder order, int rowBytes, int scaleWords, int numTopk, int indexBytes) {
    boolean hasMetadata() {
      return numTopk > 0;
    }

    boolean rankMajor() {
      return order == RowOrder.RANK_MAJOR;
    }
  }

  long x() {
    return 0;
  }

  private long xEnd() {
    return ControlLayout.lines(rows * form.rowBytes());
  }

  long scales() {
    return xEnd();
  }

  private long scalesEnd() {
    return scales() + ControlLayout.lines(rows * form.scaleWords() * 4);
  }

  long topkIdx() {
    return scalesEnd();
  }

  private long topkIdxEnd() {
    return topkIdx() + perTopk(form.indexBytes());
  }

  long topkWeights() {
    return topkIdxEnd();
  }

  private long topkWeightsEnd() {
    return topkWeights() + perTopk(4);
  }

  long weight() {
    return topkWeightsEnd();
  }

  private long weightEnd() {
    return weight() + perExpertRow();
  }

  long sourceRank() {
    return weightEnd();
  }

  private long sourceRankEnd() {
    return sourceRank() + perExpertRow();
  }

  long topkSlot() {
    return sourceRankEnd();
  }

  private long topkSlotEnd() {
    return topkSlot() + perExpertRow();
  }

  long sourceToken() {
    return topkSlotEnd();
  }

  private long sourceTokenEnd() {
    return sourceToken() + (form.hasMetadata() ? ControlLayout.lines(4 * rows) : 0);
  }

  long rankPrefix() {
    return sourceTokenEnd();
  }

  private long rankPrefixEnd() {
    return rankPrefix() + ControlLayout.lines(4L * numRanks);
  }

  long expertOffsets() {
    return rankPrefixEnd();
  }

  private long expertOffsetsEnd() {
    return expertOffsets() + ControlLayout.lines(4L * (localExperts + 1));
  }

  long tokensPerExpert() {
    return expertOffsetsEnd();
  }

  private long tokensPerExpertEnd() {
    return tokensPerExpert() + ControlLayout.lines(4L * localExperts);
  }

  long numReceived() {
    return tokensPerExpertEnd();
  }

  long bytes() {
    return numReceived() + ControlLayout.lines(4);
  }

  private long perTopk(int elementBytes) {
    return form.hasMetadata() && form.rankMajor()
        ? ControlLayout.lines(rows * form.numTopk() * elementBytes)
        : 0;
  }

  private long perExpertRow() {
    return form.hasMetadata() && !form.rankMajor() ? ControlLayout.lines(4 * rows) : 0;
  }
}
