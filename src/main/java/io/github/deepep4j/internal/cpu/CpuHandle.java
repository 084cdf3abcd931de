package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.RowOrder;
import io.github.deepep4j.internal.backend.BackendHandle;
import org.jspecify.annotations.Nullable;

/**
 * The routing record of a normal-mode dispatch: where this rank's rows went, and what it received.
 * Plain arrays that are never changed, so that it outlives its result and its region.
 */
final class CpuHandle implements BackendHandle, CpuHandleId {
  /** Epoch of the dispatch: its name among the ranks. */
  final long id;

  final CallDescriptor call;
  final int numTokens;
  final int hidden;
  final boolean bounded;
  final int resultRows;

  /** Expert of each choice, {@code [T, K]}. */
  final int[] experts;

  /**
   * Row at the destination: {@code [T, n]} rank-major, {@code [T, K]} expert-major; −1 for none.
   */
  final int[] rows;

  /** Gate weights {@code [T, K]}; null if the dispatch had none. */
  final float @Nullable [] weights;

  final ReceivePlan received;
  private final Runnable onClose;
  private boolean closed;

  /**
   * Records a dispatch.
   *
   * @param id its epoch
   * @param call what the ranks agreed on
   * @param sent what this rank sent
   * @param received what this rank decided to receive
   * @param resultRows rows of the result's tensors
   * @param onClose called once
   */
  CpuHandle(
      long id,
      CallDescriptor call,
      Sent sent,
      ReceivePlan received,
      int resultRows,
      Runnable onClose) {
    this.id = id;
    this.call = call;
    this.numTokens = sent.numTokens();
    this.hidden = sent.hidden();
    this.bounded = call.bounded();
    this.experts = sent.experts();
    this.rows = sent.rows();
    this.weights = sent.weights();
    this.received = received;
    this.resultRows = resultRows;
    this.onClose = onClose;
  }

  /**
   * The sending side of a record.
   *
   * @param numTokens T
   * @param hidden H
   * @param experts expert of each choice
   * @param rows row at the destination
   * @param weights gate weights, or null
   */
  record Sent(int numTokens, int hidden, int[] experts, int[] rows, float @Nullable [] weights) {}

  boolean rankMajor() {
    return call.order() == RowOrder.RANK_MAJOR;
  }

  @Override
  public long id() {
    return id;
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
    return call.numTopk();
  }

  @Override
  public RowOrder rowOrder() {
    return call.order();
  }

  @Override
  public int resultRows() {
    return resultRows;
  }

  @Override
  public boolean isBounded() {
    return bounded;
  }

  @Override
  public boolean hasWeights() {
    return weights != null;
  }

  @Override
  public String describe() {
    return call.operation().text + " #" + id;
  }

  @Override
  public boolean isClosed() {
    return closed;
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      onClose.run();
    }
  }
}
