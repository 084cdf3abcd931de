package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.RowOrder;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.RegionForm;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;

/** Bytes of regions, as the native library lays them out. */
final class RegionSizes implements AutoCloseable {
  private final CudaRank rank;
  private final RegionForm struct = new RegionForm();

  RegionSizes(CudaRank rank) {
    this.rank = rank;
  }

  /** Bytes of a result's region. */
  long bytes(ResultForm form, long rows) {
    DType index = form.indexType();
    struct.reset();
    struct.putInt(
        RegionForm.ORDER,
        Codes.order(form.rankMajor() ? RowOrder.RANK_MAJOR : RowOrder.EXPERT_MAJOR));
    struct.putInt(RegionForm.ROW_BYTES, form.hidden() * form.rowType().bytes());
    struct.putInt(RegionForm.SCALE_WORDS, form.scaleWords());
    struct.putInt(RegionForm.NUM_TOPK, index == null ? 0 : form.numTopk());
    struct.putInt(RegionForm.INDEX_BYTES, index == null ? 0 : index.bytes());
    struct.putLong(RegionForm.CAPACITY_ROWS, rows);
    rank.require(
        Ep4jNative.regionBytes(
            struct.address(), rank.numRanks, rank.options.numExperts(), rank.word()),
        "sizing a region");
    return OffHeap.getLong(rank.word());
  }

  /** The most rows of a form that some bytes hold, for messages. */
  long rowsIn(ResultForm form, long bytes) {
    long fits = 0;
    long tooMany = Math.max(1, bytes); // a row has bytes
    while (tooMany - fits > 1) {
      long middle = fits + (tooMany - fits) / 2;
      if (bytes(form, middle) <= bytes) {
        fits = middle;
      } else {
        tooMany = middle;
      }
    }
    return fits;
  }

  @Override
  public void close() {
    struct.close();
  }
}
