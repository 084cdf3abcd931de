package io.github.deepep4j;

import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Options of a low-latency dispatch. Quantisation must be the same on all ranks. Immutable: each
 * setter returns a changed copy.
 */
public final class LowLatencyDispatchOptions extends CallOptions<LowLatencyDispatchOptions> {
  private static final LowLatencyDispatchOptions DEFAULTS = new LowLatencyDispatchOptions();

  private @Nullable Quantization quantization;
  private @Nullable Tensor receiveStats;
  private @Nullable Tensor waitNanos;

  private LowLatencyDispatchOptions() {}

  private LowLatencyDispatchOptions(LowLatencyDispatchOptions from) {
    super(from);
    quantization = from.quantization;
    receiveStats = from.receiveStats;
    waitNanos = from.waitNanos;
  }

  @Override
  LowLatencyDispatchOptions copy() {
    return new LowLatencyDispatchOptions(this);
  }

  /**
   * BF16 rows, no statistics.
   *
   * @return the defaults
   */
  public static LowLatencyDispatchOptions defaults() {
    return DEFAULTS;
  }

  /**
   * Casts rows to FP8 E4M3; the hidden size must be a multiple of 128.
   *
   * @param value kind of scale
   * @return changed options
   */
  public LowLatencyDispatchOptions quantize(Quantization value) {
    LowLatencyDispatchOptions changed = copy();
    changed.quantization = value;
    return changed;
  }

  /**
   * Adds the rows received per local expert to this tensor; masked sources are not counted.
   *
   * @param value INT32 {@code [localExperts]}
   * @return changed options
   */
  public LowLatencyDispatchOptions receiveStats(Tensor value) {
    LowLatencyDispatchOptions changed = copy();
    changed.receiveStats = value;
    return changed;
  }

  /**
   * Writes the time that receiving was blocked on each source, 0 if its rows were there already.
   *
   * @param value INT64 {@code [n]}, nanoseconds
   * @return changed options
   */
  public LowLatencyDispatchOptions waitNanos(Tensor value) {
    LowLatencyDispatchOptions changed = copy();
    changed.waitNanos = value;
    return changed;
  }

  /**
   * Cast on the way out.
   *
   * @return null for BF16
   */
  public @Nullable Quantization quantization() {
    return quantization;
  }

  /**
   * Rows received per local expert, accumulated.
   *
   * @return null if not wanted
   */
  public @Nullable Tensor receiveStats() {
    return receiveStats;
  }

  /**
   * Time blocked per source.
   *
   * @return null if not wanted
   */
  public @Nullable Tensor waitNanos() {
    return waitNanos;
  }
}
