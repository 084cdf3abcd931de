package io.github.deepep4j;

import io.github.deepep4j.internal.backend.BackendDispatch;
import io.github.deepep4j.tensor.Tensor;

/**
 * Rows that a normal-mode dispatch delivered, and where they came from. Borrowed memory of the
 * buffer, valid until {@link #close()}, unless the call asked for an owned result. N is the number
 * of rows: what arrived, padding included, or in the bounded form exactly {@code
 * maxReceivedTokens}. Tensors that the form does not have throw {@link IllegalStateException};
 * accessors of data receive first. A cached dispatch has {@link #x()} and {@link #scales()} only.
 *
 * <p>Used by one thread at a time together with its buffer; {@link #receive()} may come from any.
 */
public final class DispatchResult extends Result {
  private final BackendDispatch dispatch;
  private final DispatchHandle handle;

  DispatchResult(Buffer buffer, BackendDispatch dispatch, DispatchHandle handle) {
    super(buffer, dispatch);
    this.dispatch = dispatch;
    this.handle = handle;
  }

  /**
   * The routing record for combine and cached dispatch. Not closed with the result.
   *
   * @return the handle; for a cached dispatch the one that was given
   */
  public DispatchHandle handle() {
    return handle;
  }

  /**
   * Number of rows received, padding included; known when the call returns.
   *
   * @return N
   * @throws IllegalStateException in the bounded form, where only the device knows: see {@link
   *     #numReceivedTensor()}
   */
  public int numReceived() {
    if (dispatch.numReceived() < 0) {
      throw new IllegalStateException("in the bounded form the host does not know numReceived()");
    }
    return dispatch.numReceived();
  }

  /**
   * Tokens for each local expert: in rank-major order rounded up to the alignment, in expert-major
   * order the real rows of each group.
   *
   * @return a copy, {@code [localExperts]}
   * @throws IllegalStateException in the bounded form, see {@link #tokensPerExpertTensor()}
   */
  public int[] tokensPerExpert() {
    return present(dispatch.tokensPerExpert(), "tokensPerExpert on the host").clone();
  }

  /**
   * The rows.
   *
   * @return {@code [N, H]}, BF16 or FP8
   */
  public Tensor x() {
    return received(() -> dispatch.tensors().x());
  }

  /**
   * The rows' scales.
   *
   * @return {@code [N, S]} 4-byte words, row-major
   */
  public Tensor scales() {
    return received(() -> present(dispatch.tensors().scales(), "scales"));
  }

  /**
   * Rank-major: each row's choices among the local experts.
   *
   * @return {@code [N, K]} of the routing's dtype; −1 where the choice is on another rank
   */
  public Tensor topkIdx() {
    return received(() -> present(dispatch.tensors().topkIdx(), "topkIdx"));
  }

  /**
   * Rank-major: the gate weights of the local choices.
   *
   * @return FLOAT32 {@code [N, K]}; 0 where the choice is on another rank
   */
  public Tensor topkWeights() {
    return received(() -> present(dispatch.tensors().topkWeights(), "topkWeights"));
  }

  /**
   * Each row's token index in its source rank.
   *
   * @return INT32 {@code [N]}; −1 for padding
   */
  public Tensor sourceToken() {
    return received(() -> present(dispatch.tensors().sourceToken(), "sourceToken"));
  }

  /**
   * Rank-major: rows received from ranks ≤ i.
   *
   * @return INT32 {@code [n]}, inclusive prefix sums
   */
  public Tensor rankPrefix() {
    return received(() -> present(dispatch.tensors().rankPrefix(), "rankPrefix"));
  }

  /**
   * Expert-major: where each local expert's group starts.
   *
   * @return INT32 {@code [localExperts + 1]}, multiples of the alignment
   */
  public Tensor expertOffsets() {
    return received(() -> present(dispatch.tensors().expertOffsets(), "expertOffsets"));
  }

  /**
   * Expert-major: each row's gate weight.
   *
   * @return FLOAT32 {@code [N]}; 0 for padding
   */
  public Tensor weight() {
    return received(() -> present(dispatch.tensors().weight(), "weight"));
  }

  /**
   * Expert-major: each row's source rank.
   *
   * @return INT32 {@code [N]}; −1 for padding
   */
  public Tensor sourceRank() {
    return received(() -> present(dispatch.tensors().sourceRank(), "sourceRank"));
  }

  /**
   * Expert-major: which of its token's K choices a row is.
   *
   * @return INT32 {@code [N]}; −1 for padding
   */
  public Tensor topkSlot() {
    return received(() -> present(dispatch.tensors().topkSlot(), "topkSlot"));
  }

  /**
   * {@link #tokensPerExpert()} on the device.
   *
   * @return INT32 {@code [localExperts]}
   */
  public Tensor tokensPerExpertTensor() {
    return received(() -> present(dispatch.tensors().tokensPerExpert(), "tokensPerExpert"));
  }

  /**
   * Bounded form: rows received, padding included.
   *
   * @return INT32 {@code [1]}
   */
  public Tensor numReceivedTensor() {
    return received(() -> present(dispatch.tensors().numReceived(), "numReceived tensor"));
  }

  /**
   * Copies the rows out of the buffer's memory. Blocks until the copy is done.
   *
   * @param rows a contiguous tensor on the host or the buffer's device, with {@link #x()}'s dtype
   *     and number of elements
   * @throws IllegalArgumentException if dtype, size or device do not fit
   */
  public void copyTo(Tensor rows) {
    Tensor from = x();
    if (rows.dtype() != from.dtype()
        || rows.numElements() != from.numElements()
        || !rows.isContiguous()
        || !(rows.device().isCpu() || rows.device().equals(from.device()))) {
      throw new IllegalArgumentException(rows + " cannot take a copy of " + from);
    }
    event().synchronize();
    DeviceMemory.copy(from, rows);
  }
}
