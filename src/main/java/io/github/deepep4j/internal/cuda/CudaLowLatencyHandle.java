package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.RowOrder;
import io.github.deepep4j.internal.backend.BackendHandle;

/**
 * The routing record of a low-latency dispatch: it lies beside the region of the result and ends
 * with it.
 */
final class CudaLowLatencyHandle implements BackendHandle {
  private final CudaLowLatencyDispatch dispatch;
  private final int numTokens;
  private final int numTopk;
  private final int hidden;
  private final int rows;

  /**
   * Makes the record of a dispatch.
   *
   * @param dispatch that made it
   * @param numTokens T
   * @param numTopk K
   * @param hidden H
   * @param rows places for rows, of all local experts
   */
  CudaLowLatencyHandle(
      CudaLowLatencyDispatch dispatch, int numTokens, int numTopk, int hidden, int rows) {
    this.dispatch = dispatch;
    this.numTokens = numTokens;
    this.numTopk = numTopk;
    this.hidden = hidden;
    this.rows = rows;
  }

  CudaLowLatencyDispatch dispatch() {
    return dispatch;
  }

  @Override
  public int numTokens() {
    return numTokens;
  }

  @Override
  public int hidden() {
    return hidden;
  }

  @Override
  public int numTopk() {
    return numTopk;
  }

  @Override
  public RowOrder rowOrder() {
    return RowOrder.EXPERT_MAJOR;
  }

  @Override
  public int resultRows() {
    return rows;
  }

  @Override
  public boolean isBounded() {
    return true;
  }

  @Override
  public boolean hasWeights() {
    return false;
  }

  @Override
  public String describe() {
    return dispatch.describe();
  }

  @Override
  public boolean isClosed() {
    return dispatch.isClosed();
  }

  @Override
  public void close() {
    // It ends with its dispatch's result.
  }
}
