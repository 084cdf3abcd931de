package io.github.deepep4j;

import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Options of a normal-mode dispatch. Order, alignment and quantisation must be the same on all
 * ranks; the rest may differ. Immutable: each setter returns a changed copy.
 *
 * <pre>{@code
 * var training = DispatchOptions.defaults().expertMajor(128).zeroFill();
 * var bounded = DispatchOptions.defaults().maxReceivedTokens(4096);
 * }</pre>
 */
public final class DispatchOptions extends CallOptions<DispatchOptions> {
  private static final DispatchOptions DEFAULTS = new DispatchOptions();

  private RowOrder rowOrder = RowOrder.RANK_MAJOR;
  private int expertAlignment = 1;
  private boolean zeroFill;
  private int maxReceivedTokens = -1;
  private @Nullable Quantization quantization;
  private @Nullable Tensor scales;
  private @Nullable Tensor into;
  private @Nullable Tensor scalesInto;
  private @Nullable TensorAllocator allocator;

  private DispatchOptions() {}

  private DispatchOptions(DispatchOptions from) {
    super(from);
    rowOrder = from.rowOrder;
    expertAlignment = from.expertAlignment;
    zeroFill = from.zeroFill;
    maxReceivedTokens = from.maxReceivedTokens;
    quantization = from.quantization;
    scales = from.scales;
    into = from.into;
    scalesInto = from.scalesInto;
    allocator = from.allocator;
  }

  @Override
  DispatchOptions copy() {
    return new DispatchOptions(this);
  }

  /**
   * Rank-major, exact, borrowed, BF16 through or FP8 through, alignment 1.
   *
   * @return the defaults
   */
  public static DispatchOptions defaults() {
    return DEFAULTS;
  }

  /**
   * Delivers rows by expert.
   *
   * @param alignment each group's start is a multiple of it, ≥ 1 and at most the buffer's {@link
   *     BufferOptions#maxExpertAlignment()}
   * @return changed options
   * @throws IllegalArgumentException if less than 1
   */
  public DispatchOptions expertMajor(int alignment) {
    DispatchOptions changed = expertAlignment(alignment);
    changed.rowOrder = RowOrder.EXPERT_MAJOR;
    return changed;
  }

  /**
   * Rounds the tokens per expert up to a multiple: in rank-major order only the reported counts, in
   * expert-major order the groups' starts.
   *
   * @param alignment ≥ 1
   * @return changed options
   * @throws IllegalArgumentException if less than 1
   */
  public DispatchOptions expertAlignment(int alignment) {
    if (alignment < 1) {
      throw new IllegalArgumentException("expertAlignment must be >= 1: " + alignment);
    }
    DispatchOptions changed = copy();
    changed.expertAlignment = alignment;
    return changed;
  }

  /**
   * In expert-major order, fills padding rows (and their scales) with zero bytes; without it their
   * contents are undefined.
   *
   * @return changed options
   */
  public DispatchOptions zeroFill() {
    DispatchOptions changed = copy();
    changed.zeroFill = true;
    return changed;
  }

  /**
   * Bounded form: the outputs have exactly this many rows, no thread waits for a count, and counts
   * are device tensors.
   *
   * @param rows ≥ 0 and at most the receive capacity; may differ per rank
   * @return changed options
   * @throws IllegalArgumentException if negative
   */
  public DispatchOptions maxReceivedTokens(int rows) {
    if (rows < 0) {
      throw new IllegalArgumentException("maxReceivedTokens must be >= 0: " + rows);
    }
    DispatchOptions changed = copy();
    changed.maxReceivedTokens = rows;
    return changed;
  }

  /**
   * Casts BF16 rows to FP8 E4M3 on the way out; the hidden size must be a multiple of 128.
   *
   * @param value kind of scale
   * @return changed options
   */
  public DispatchOptions quantize(Quantization value) {
    DispatchOptions changed = copy();
    changed.quantization = value;
    return changed;
  }

  /**
   * Scales that travel with FP8 rows, untouched.
   *
   * @param value {@code [T, S]}, FLOAT32 or INT32, row-major or column-major
   * @return changed options
   */
  public DispatchOptions scales(Tensor value) {
    DispatchOptions changed = copy();
    changed.scales = value;
    return changed;
  }

  /**
   * Owned result: rows are written to this tensor and the region is free when the call (or {@code
   * receive()}) returns. Metadata is copied to memory of its own.
   *
   * @param value at least as many rows as arrive, contiguous, of the row's dtype
   * @return changed options
   */
  public DispatchOptions into(Tensor value) {
    DispatchOptions changed = copy();
    changed.into = value;
    changed.allocator = null;
    return changed;
  }

  /**
   * Owned result with scales.
   *
   * @param rows at least as many rows as arrive
   * @param rowScales {@code [rows, S]}, contiguous, 4-byte dtype
   * @return changed options
   */
  public DispatchOptions into(Tensor rows, Tensor rowScales) {
    DispatchOptions changed = into(rows);
    changed.scalesInto = rowScales;
    return changed;
  }

  /**
   * Owned result in memory that the callback makes when the number of rows is known. It is asked
   * for each tensor of the result.
   *
   * @param value the callback
   * @return changed options
   */
  public DispatchOptions allocator(TensorAllocator value) {
    DispatchOptions changed = copy();
    changed.allocator = value;
    changed.into = null;
    changed.scalesInto = null;
    return changed;
  }

  /**
   * Order of the received rows.
   *
   * @return the order
   */
  public RowOrder rowOrder() {
    return rowOrder;
  }

  /**
   * Alignment of the counts or groups.
   *
   * @return ≥ 1
   */
  public int expertAlignment() {
    return expertAlignment;
  }

  /**
   * Whether padding is zeroed.
   *
   * @return true after {@link #zeroFill()}
   */
  public boolean isZeroFill() {
    return zeroFill;
  }

  /**
   * Whether this is the bounded form.
   *
   * @return true after {@link #maxReceivedTokens(int)}
   */
  public boolean isBounded() {
    return maxReceivedTokens >= 0;
  }

  /**
   * Rows of the bounded form.
   *
   * @return −1 in the exact form
   */
  public int maxReceivedTokens() {
    return maxReceivedTokens;
  }

  /**
   * Cast on the way out.
   *
   * @return null for none
   */
  public @Nullable Quantization quantization() {
    return quantization;
  }

  /**
   * Scales that travel with the rows.
   *
   * @return null if none
   */
  public @Nullable Tensor scales() {
    return scales;
  }

  /**
   * Where owned rows go.
   *
   * @return null unless given
   */
  public @Nullable Tensor into() {
    return into;
  }

  /**
   * Where owned scales go.
   *
   * @return null unless given
   */
  public @Nullable Tensor scalesInto() {
    return scalesInto;
  }

  /**
   * What makes the memory of an owned result.
   *
   * @return null unless given
   */
  public @Nullable TensorAllocator allocator() {
    return allocator;
  }
}
