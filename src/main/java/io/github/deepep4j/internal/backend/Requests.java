package io.github.deepep4j.internal.backend;

import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** Calls as {@code Buffer} hands them down: every rule that the host can see has been checked. */
public final class Requests {
  private Requests() {}

  /**
   * A normal-mode dispatch with routing.
   *
   * @param x {@code [T, H]} BF16 or FP8
   * @param topkIdx {@code [T, K]} INT32 or INT64
   * @param topkWeights FLOAT32 {@code [T, K]}
   * @param options the call's options
   */
  public record Dispatch(
      Tensor x, Tensor topkIdx, @Nullable Tensor topkWeights, DispatchOptions options) {}

  /**
   * A dispatch that repeats the routing of a handle.
   *
   * @param x {@code [T, H]}
   * @param handle an open handle of this buffer
   * @param options the call's options
   */
  public record CachedDispatch(Tensor x, BackendHandle handle, DispatchOptions options) {}

  /**
   * A normal-mode combine.
   *
   * @param y {@code [N, H]} BF16
   * @param handle an open handle of this buffer
   * @param options the call's options
   */
  public record Combine(Tensor y, BackendHandle handle, CombineOptions options) {}

  /**
   * A low-latency dispatch.
   *
   * @param x {@code [T, H]} BF16
   * @param topkIdx {@code [T, K]}
   * @param options the call's options
   */
  public record LowLatencyDispatch(Tensor x, Tensor topkIdx, LowLatencyDispatchOptions options) {}

  /**
   * A low-latency combine.
   *
   * @param y {@code [localExperts, n·M, H]} BF16
   * @param topkWeights FLOAT32 {@code [T, K]}
   * @param handle an open low-latency handle of this buffer
   * @param options the call's options
   */
  public record LowLatencyCombine(
      Tensor y, Tensor topkWeights, BackendHandle handle, LowLatencyCombineOptions options) {}
}
