package io.github.deepep4j;

import io.github.deepep4j.internal.backend.BackendCombine;
import io.github.deepep4j.tensor.Tensor;

/**
 * Tokens that a low-latency combine has summed. Memory of the buffer, valid until {@link #close()},
 * unless the call named a tensor of its own. Accessors receive first.
 */
public final class LowLatencyCombine extends Result {
  private final BackendCombine combine;

  LowLatencyCombine(Buffer buffer, BackendCombine combine) {
    super(buffer, combine);
    this.combine = combine;
  }

  /**
   * The weighted sums, in the order of the tokens given to the dispatch.
   *
   * @return BF16 {@code [T, H]}
   */
  public Tensor combined() {
    return received(combine::combined);
  }
}
