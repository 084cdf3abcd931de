package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.internal.backend.BackendDispatch;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Which tensors a dispatch's result has and what they look like.
 *
 * @param rowType of x on the wire
 * @param hidden H
 * @param scaleType of the scales
 * @param scaleWords per row, 0 for none
 * @param numTopk K
 * @param indexType of the routing; null for a cached dispatch, which has no metadata
 * @param weights whether gate weights came with the rows
 * @param rankMajor order of the rows
 * @param bounded whether counts are tensors only
 * @param rows of every tensor with a row per received row
 */
record ResultForm(
    DType rowType,
    int hidden,
    DType scaleType,
    int scaleWords,
    int numTopk,
    @Nullable DType indexType,
    boolean weights,
    boolean rankMajor,
    boolean bounded,
    int rows) {

  /** Addresses of the possible tensors, in the order of {@link BackendDispatch.Tensors}. */
  static final int ADDRESSES = 12;

  /** The same, for other rows. */
  ResultForm withRows(int other) {
    return new ResultForm(
        rowType,
        hidden,
        scaleType,
        scaleWords,
        numTopk,
        indexType,
        weights,
        rankMajor,
        bounded,
        other);
  }

  /** Makes one tensor of the result. */
  interface Maker {
    Tensor make(long address, DType dtype, long... shape);
  }

  /**
   * The tensors of a result.
   *
   * @param at addresses, {@link #ADDRESSES} of them
   * @param rank the rank they are on
   * @param maker makes each
   */
  BackendDispatch.Tensors tensors(long[] at, CudaRank rank, Maker maker) {
    DType index = indexType == null ? DType.INT32 : indexType;
    boolean metadata = indexType != null;
    boolean byRank = metadata && rankMajor;
    boolean byExpert = metadata && !rankMajor;
    int localExperts = rank.localExperts;
    return new BackendDispatch.Tensors(
        maker.make(at[0], rowType, rows, hidden),
        scaleWords > 0 ? maker.make(at[1], scaleType, rows, scaleWords) : null,
        byRank ? maker.make(at[2], index, rows, numTopk) : null,
        byRank && weights ? maker.make(at[3], DType.FLOAT32, rows, numTopk) : null,
        metadata ? maker.make(at[4], DType.INT32, rows) : null,
        byRank ? maker.make(at[5], DType.INT32, rank.numRanks) : null,
        byExpert ? maker.make(at[6], DType.INT32, localExperts + 1) : null,
        byExpert && weights ? maker.make(at[7], DType.FLOAT32, rows) : null,
        byExpert ? maker.make(at[8], DType.INT32, rows) : null,
        byExpert ? maker.make(at[9], DType.INT32, rows) : null,
        metadata ? maker.make(at[10], DType.INT32, localExperts) : null,
        metadata && bounded ? maker.make(at[11], DType.INT32, 1) : null);
  }
}
