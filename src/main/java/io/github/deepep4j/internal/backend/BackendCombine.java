package io.github.deepep4j.internal.backend;

import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** A combine, of either mode. */
public interface BackendCombine extends PendingResult {
  /** BF16 {@code [T, H]}. */
  Tensor combined();

  /** FLOAT32 {@code [T, K]}; null if the call took no weights. */
  @Nullable Tensor topkWeights();
}
