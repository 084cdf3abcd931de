package io.github.deepep4j;

import io.github.deepep4j.internal.backend.BackendCombine;
import io.github.deepep4j.tensor.Tensor;

/**
 * Tokens that a normal-mode combine has summed. Memory of the buffer, valid until {@link #close()},
 * unless the call named a tensor of its own. Accessors receive first.
 */
public final class CombineResult extends Result {
  private final BackendCombine combine;

  CombineResult(Buffer buffer, BackendCombine combine) {
    super(buffer, combine);
    this.combine = combine;
  }

  /**
   * The sums, in the order of the tokens given to the dispatch.
   *
   * @return BF16 {@code [T, H]}
   */
  public Tensor combined() {
    return received(combine::combined);
  }

  /**
   * The weights that came back: rank-major the sum over the ranks, expert-major each slot's own.
   *
   * @return FLOAT32 {@code [T, K]}
   * @throws IllegalStateException if the combine was given none
   */
  public Tensor topkWeights() {
    return received(() -> present(combine.topkWeights(), "topkWeights"));
  }
}
