package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.RowOrder;
import io.github.deepep4j.internal.backend.BackendHandle;
import io.github.deepep4j.tensor.Tensor;

/**
 * The routing record of a normal-mode dispatch: a numbered place in the device's memory, and what
 * the host knows of it. The device's sequence of calls makes the number safe to use again as soon
 * as the handle is closed and no receiving half that reads it is still to be issued.
 */
final class CudaHandle implements BackendHandle, Tensor.Lifetime {
  /**
   * What the host knows.
   *
   * @param numTokens T
   * @param hidden H
   * @param numTopk K
   * @param order of the delivered rows
   * @param resultRows rows of the result's tensors
   * @param bounded whether the dispatch had a bound instead of counts on the host
   * @param hasWeights whether it was given gate weights
   */
  record Routing(
      int numTokens,
      int hidden,
      int numTopk,
      RowOrder order,
      int resultRows,
      boolean bounded,
      boolean hasWeights) {}

  final int slot;
  private final Routing routing;
  private final long ordinal;
  private final CudaRank rank;
  private int pendingCalls;
  private boolean closed;

  /**
   * Makes the record of a slot that was filled.
   *
   * @param rank this rank
   * @param slot number of the handle
   * @param routing what the host knows
   * @param ordinal of the dispatch, for messages
   */
  CudaHandle(CudaRank rank, int slot, Routing routing, long ordinal) {
    this.rank = rank;
    this.slot = slot;
    this.routing = routing;
    this.ordinal = ordinal;
  }

  boolean rankMajor() {
    return routing.order() == RowOrder.RANK_MAJOR;
  }

  @Override
  public int numTokens() {
    return routing.numTokens();
  }

  @Override
  public int hidden() {
    return routing.hidden();
  }

  @Override
  public int numTopk() {
    return routing.numTopk();
  }

  @Override
  public RowOrder rowOrder() {
    return routing.order();
  }

  @Override
  public int resultRows() {
    return routing.resultRows();
  }

  @Override
  public boolean isBounded() {
    return routing.bounded();
  }

  @Override
  public boolean hasWeights() {
    return routing.hasWeights();
  }

  @Override
  public String describe() {
    return "dispatch #" + ordinal;
  }

  /** Combine inputs of this handle live as long as it does. */
  @Override
  public void checkOpen() {
    if (isClosed() || rank.isClosed()) {
      throw new IllegalStateException("the tensor is of a closed handle: " + describe());
    }
  }

  @Override
  public synchronized boolean isClosed() {
    return closed;
  }

  @Override
  public synchronized void close() {
    if (!closed) {
      closed = true;
      rank.outputs.discard(this);
      giveUnused();
    }
  }

  /** A call whose receiving half will read the record. */
  synchronized void retain() {
    pendingCalls++;
  }

  /** That half was issued, or never will be. */
  synchronized void release() {
    pendingCalls--;
    giveUnused();
  }

  private void giveUnused() {
    if (closed && pendingCalls == 0) {
      rank.handles.give(slot);
    }
  }
}
