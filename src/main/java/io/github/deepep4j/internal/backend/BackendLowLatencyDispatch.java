package io.github.deepep4j.internal.backend;

import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** A low-latency dispatch. */
public interface BackendLowLatencyDispatch extends PendingResult {
  /** The routing record, closed with the result. */
  BackendHandle handle();

  /** The result's tensors; contents valid after {@code receive()}. */
  Tensors tensors();

  /**
   * Tensors of a result.
   *
   * @param x {@code [localExperts, n·M, H]}
   * @param scales {@code [localExperts, n·M, S]} with strides {@code [S·n·M, 1, n·M]}; null for
   *     BF16
   * @param count INT32 {@code [localExperts]}
   * @param sourceInfo INT32 {@code [localExperts, n·M]}
   * @param layoutRange INT64 {@code [localExperts, n]}
   */
  record Tensors(
      Tensor x, @Nullable Tensor scales, Tensor count, Tensor sourceInfo, Tensor layoutRange) {}
}
