package io.github.deepep4j;

import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Options of a normal-mode combine. {@link #weighted()} and the presence of {@link #topkWeights}
 * must be the same on all ranks; the rest may differ. Immutable: each setter returns a changed
 * copy.
 */
public final class CombineOptions extends CallOptions<CombineOptions> {
  private static final CombineOptions DEFAULTS = new CombineOptions();

  private @Nullable Tensor topkWeights;
  private @Nullable Tensor bias0;
  private @Nullable Tensor bias1;
  private @Nullable Tensor into;
  private boolean weighted;

  private CombineOptions() {}

  private CombineOptions(CombineOptions from) {
    super(from);
    topkWeights = from.topkWeights;
    bias0 = from.bias0;
    bias1 = from.bias1;
    into = from.into;
    weighted = from.weighted;
  }

  @Override
  CombineOptions copy() {
    return new CombineOptions(this);
  }

  /**
   * No weights, no bias, a result in memory of the buffer.
   *
   * @return the defaults
   */
  public static CombineOptions defaults() {
    return DEFAULTS;
  }

  /**
   * Weights (or their gradients) that go back with the rows: rank-major {@code [N, K]}, summed over
   * the ranks; expert-major {@code [N]}, scattered to each row's top-k slot.
   *
   * @param value FLOAT32, contiguous, in dispatch order
   * @return changed options
   */
  public CombineOptions topkWeights(Tensor value) {
    CombineOptions changed = copy();
    changed.topkWeights = value;
    return changed;
  }

  /**
   * Starts each token's sum from a bias.
   *
   * @param value {@code [T, H]} BF16, contiguous
   * @return changed options
   */
  public CombineOptions bias(Tensor value) {
    CombineOptions changed = copy();
    changed.bias0 = value;
    changed.bias1 = null;
    return changed;
  }

  /**
   * Starts each token's sum from the float32 sum of two biases.
   *
   * @param first {@code [T, H]} BF16, contiguous
   * @param second the same
   * @return changed options
   */
  public CombineOptions bias(Tensor first, Tensor second) {
    CombineOptions changed = bias(first);
    changed.bias1 = second;
    return changed;
  }

  /**
   * Expert-major only: multiplies each row by the gate weight given to the dispatch, by fused
   * multiply-add in top-k order.
   *
   * @return changed options
   */
  public CombineOptions weighted() {
    CombineOptions changed = copy();
    changed.weighted = true;
    return changed;
  }

  /**
   * Writes the combined rows to the caller's tensor.
   *
   * @param value {@code [T, H]} BF16, contiguous
   * @return changed options
   */
  public CombineOptions into(Tensor value) {
    CombineOptions changed = copy();
    changed.into = value;
    return changed;
  }

  /**
   * Weights that go back with the rows.
   *
   * @return null if none
   */
  public @Nullable Tensor topkWeights() {
    return topkWeights;
  }

  /**
   * First bias.
   *
   * @return null if none
   */
  public @Nullable Tensor bias0() {
    return bias0;
  }

  /**
   * Second bias.
   *
   * @return null if none
   */
  public @Nullable Tensor bias1() {
    return bias1;
  }

  /**
   * Where the combined rows go.
   *
   * @return null for memory of the buffer
   */
  public @Nullable Tensor into() {
    return into;
  }

  /**
   * Whether rows are multiplied by their gate weights.
   *
   * @return true after {@link #weighted()}
   */
  public boolean isWeighted() {
    return weighted;
  }
}
