package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.backend.BackendDispatch;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A destination's own view of its region: what it writes there itself (lost rows, padding, counts)
 * and the tensors that it hands out. Senders write the rest.
 */
final class RegionView {
  private static final int NONE = -1;

  private final RankContext context;
  private final RegionPool.Lease lease;
  private final RegionLayout layout;
  private final long address;

  RegionView(RankContext context, RegionPool.Lease lease, RegionLayout layout) {
    this.context = context;
    this.lease = lease;
    this.layout = layout;
    this.address = context.peers.own(lease.offset);
  }

  /** Rows announced by a source that is lost: zero bytes, index −1, weight 0, source −1. */
  void clearLost(int begin, int end) {
    zeroRows(begin, end);
    clearOrigins(begin, end);
  }

  /** Rows that no source fills: source −1 and weight 0. */
  void clearPadding(int begin, int end, boolean zeroFill) {
    if (zeroFill) {
      zeroRows(begin, end);
    }
    clearOrigins(begin, end);
  }

  private void zeroRows(int begin, int end) {
    int rowBytes = layout.form().rowBytes();
    long scaleBytes = layout.form().scaleWords() * 4L;
    OffHeap.fill(
        address + layout.x() + (long) begin * rowBytes, (long) (end - begin) * rowBytes, (byte) 0);
    OffHeap.fill(
        address + layout.scales() + (long) begin * scaleBytes,
        (long) (end - begin) * scaleBytes,
        (byte) 0);
  }

  private void clearOrigins(int begin, int end) {
    RegionLayout.Form form = layout.form();
    if (!form.hasMetadata()) {
      return;
    }
    long rows = (long) end - begin;
    fill(layout.sourceToken(), begin, rows, 4, NONE);
    if (form.rankMajor()) {
      fill(layout.topkIdx(), begin, rows, (long) form.numTopk() * form.indexBytes(), NONE);
      fill(layout.topkWeights(), begin, rows, 4L * form.numTopk(), 0);
    } else {
      fill(layout.weight(), begin, rows, 4, 0);
      fill(layout.sourceRank(), begin, rows, 4, NONE);
      fill(layout.topkSlot(), begin, rows, 4, NONE);
    }
  }

  private void fill(long field, long begin, long rows, long bytesPerRow, int value) {
    OffHeap.fill(address + field + begin * bytesPerRow, rows * bytesPerRow, (byte) value);
  }

  /** Writes the counts that are tensors, too. */
  void writeCounts(ReceivePlan plan) {
    putInts(layout.rankPrefix(), plan.rankPrefix());
    putInts(layout.expertOffsets(), plan.expertOffsets);
    putInts(layout.tokensPerExpert(), plan.tokensPerExpert);
    putInts(layout.numReceived(), new int[] {plan.numReceived});
  }

  private void putInts(long field, int[] values) {
    OffHeap.copyFromArray(values, 0, address + field, values.length);
  }

  /**
   * The tensors of a result.
   *
   * @param call what the ranks agreed on
   * @param hidden H
   * @param scaleType dtype of the scales
   */
  BackendDispatch.Tensors tensors(CallDescriptor call, int hidden, DType scaleType) {
    RegionLayout.Form form = layout.form();
    long rows = layout.rows();
    boolean metadata = form.hasMetadata();
    boolean rankMajor = metadata && form.rankMajor();
    boolean expertMajor = metadata && !form.rankMajor();
    DType indexType = call.indexType();
    int localExperts = context.localExperts;
    return new BackendDispatch.Tensors(
        context.tensor(lease, layout.x(), call.dtype(), rows, hidden),
        form.scaleWords() == 0
            ? null
            : context.tensor(lease, layout.scales(), scaleType, rows, form.scaleWords()),
        rankMajor && indexType != null
            ? context.tensor(lease, layout.topkIdx(), indexType, rows, form.numTopk())
            : null,
        rankMajor && call.weights()
            ? context.tensor(lease, layout.topkWeights(), DType.FLOAT32, rows, form.numTopk())
            : null,
        optional(metadata, layout.sourceToken(), DType.INT32, rows),
        optional(rankMajor, layout.rankPrefix(), DType.INT32, context.numRanks),
        optional(expertMajor, layout.expertOffsets(), DType.INT32, localExperts + 1),
        optional(expertMajor && call.weights(), layout.weight(), DType.FLOAT32, rows),
        optional(expertMajor, layout.sourceRank(), DType.INT32, rows),
        optional(expertMajor, layout.topkSlot(), DType.INT32, rows),
        optional(metadata, layout.tokensPerExpert(), DType.INT32, localExperts),
        optional(metadata && call.bounded(), layout.numReceived(), DType.INT32, 1));
  }

  private @Nullable Tensor optional(boolean present, long offset, DType dtype, long size) {
    return present ? context.tensor(lease, offset, dtype, size) : null;
  }
}
