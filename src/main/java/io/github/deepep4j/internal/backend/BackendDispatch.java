package io.github.deepep4j.internal.backend;

import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** A normal-mode dispatch. */
public interface BackendDispatch extends PendingResult {
  /** The routing record; the same object for a cached dispatch as was given. */
  BackendHandle handle();

  /** Rows received, padding included; −1 in the bounded form. Known before {@code receive()}. */
  int numReceived();

  /** Host list of the aligned (rank-major) or real (expert-major) counts; null when bounded. */
  int @Nullable [] tokensPerExpert();

  /** The result's tensors; addresses are valid before {@code receive()}, contents after it. */
  Tensors tensors();

  /**
   * Tensors of a result; null where the form has none.
   *
   * @param x {@code [N, H]}
   * @param scales 4-byte words {@code [N, S]}
   * @param topkIdx rank-major {@code [N, K]}, the routing's dtype
   * @param topkWeights rank-major FLOAT32 {@code [N, K]}
   * @param sourceToken INT32 {@code [N]}
   * @param rankPrefix rank-major INT32 {@code [n]}
   * @param expertOffsets expert-major INT32 {@code [localExperts + 1]}
   * @param weight expert-major FLOAT32 {@code [N]}
   * @param sourceRank expert-major INT32 {@code [N]}
   * @param topkSlot expert-major INT32 {@code [N]}
   * @param tokensPerExpert INT32 {@code [localExperts]}
   * @param numReceived bounded INT32 {@code [1]}
   */
  record Tensors(
      Tensor x,
      @Nullable Tensor scales,
      @Nullable Tensor topkIdx,
      @Nullable Tensor topkWeights,
      @Nullable Tensor sourceToken,
      @Nullable Tensor rankPrefix,
      @Nullable Tensor expertOffsets,
      @Nullable Tensor weight,
      @Nullable Tensor sourceRank,
      @Nullable Tensor topkSlot,
      @Nullable Tensor tokensPerExpert,
      @Nullable Tensor numReceived) {}
}
