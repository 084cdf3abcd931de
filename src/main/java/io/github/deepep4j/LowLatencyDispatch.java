package io.github.deepep4j;

import io.github.deepep4j.internal.backend.BackendLowLatencyDispatch;
import io.github.deepep4j.tensor.Tensor;

/**
 * Rows that a low-latency dispatch delivered: for each local expert packed from 0, by source rank
 * and inside a source by token. Borrowed memory of the buffer, valid until {@link #close()}; rows
 * past an expert's count are undefined. Accessors receive first. M is {@link
 * BufferOptions#maxTokensPerRank()}.
 */
public final class LowLatencyDispatch extends Result {
  private final BackendLowLatencyDispatch dispatch;
  private final LowLatencyHandle handle;

  LowLatencyDispatch(Buffer buffer, BackendLowLatencyDispatch dispatch, LowLatencyHandle handle) {
    super(buffer, dispatch);
    this.dispatch = dispatch;
    this.handle = handle;
  }

  /**
   * The routing record for the combine; it ends with this result.
   *
   * @return the handle
   */
  public LowLatencyHandle handle() {
    return handle;
  }

  /**
   * The rows.
   *
   * @return {@code [localExperts, n·M, H]}, BF16 or FP8
   */
  public Tensor x() {
    return received(() -> dispatch.tensors().x());
  }

  /**
   * The FP8 rows' scales, as grouped GEMMs read them: FLOAT32 {@code [localExperts, n·M, H/128]},
   * or for UE8M0 INT32 {@code [localExperts, n·M, ceil(H/512)]}, column-major in the last two
   * dimensions.
   *
   * @return a tensor with strides {@code [S·n·M, 1, n·M]}
   * @throws IllegalStateException if the rows are BF16
   */
  public Tensor scales() {
    return received(() -> present(dispatch.tensors().scales(), "scales"));
  }

  /**
   * Rows of each local expert.
   *
   * @return INT32 {@code [localExperts]}
   */
  public Tensor count() {
    return received(() -> dispatch.tensors().count());
  }

  /**
   * Each row's token index in its source rank.
   *
   * @return INT32 {@code [localExperts, n·M]}
   */
  public Tensor sourceInfo() {
    return received(() -> dispatch.tensors().sourceInfo());
  }

  /**
   * Where each source's rows lie.
   *
   * @return INT64 {@code [localExperts, n]}: {@code (begin << 32) | count}
   */
  public Tensor layoutRange() {
    return received(() -> dispatch.tensors().layoutRange());
  }
}
