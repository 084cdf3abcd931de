package io.github.deepep4j;

import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Options of a low-latency combine. {@link #logFmt()} must be the same on all ranks. Immutable:
 * each setter returns a changed copy.
 */
public final class LowLatencyCombineOptions extends CallOptions<LowLatencyCombineOptions> {
  private static final LowLatencyCombineOptions DEFAULTS = new LowLatencyCombineOptions();

  private @Nullable Tensor into;
  private boolean logFmt;

  private LowLatencyCombineOptions() {}

  private LowLatencyCombineOptions(LowLatencyCombineOptions from) {
    super(from);
    into = from.into;
    logFmt = from.logFmt;
  }

  @Override
  LowLatencyCombineOptions copy() {
    return new LowLatencyCombineOptions(this);
  }

  /**
   * BF16 on the wire, a result in memory of the buffer.
   *
   * @return the defaults
   */
  public static LowLatencyCombineOptions defaults() {
    return DEFAULTS;
  }

  /**
   * Writes the combined rows to the caller's tensor.
   *
   * @param value {@code [T, H]} BF16, contiguous
   * @return changed options
   */
  public LowLatencyCombineOptions into(Tensor value) {
    LowLatencyCombineOptions changed = copy();
    changed.into = value;
    return changed;
  }

  /**
   * Sends rows as LogFMT-10 where their range allows it: a sign and a 9-bit logarithmic magnitude
   * per value. Lossy. The hidden size must be a multiple of 512.
   *
   * @return changed options
   */
  public LowLatencyCombineOptions logFmt() {
    LowLatencyCombineOptions changed = copy();
    changed.logFmt = true;
    return changed;
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
   * Whether rows travel as LogFMT-10.
   *
   * @return true after {@link #logFmt()}
   */
  public boolean isLogFmt() {
    return logFmt;
  }
}
