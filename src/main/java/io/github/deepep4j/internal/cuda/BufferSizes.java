package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.TimeoutPolicy;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.BufferConfig;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.RegionForm;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.Device;
import java.nio.ByteBuffer;

/**
 * What one rank's native buffer is made for: every region is as large as the largest result that
 * the options allow. Needs the native library, not a device.
 *
 * @param options of the buffer
 * @param device of this rank
 * @param rank this rank
 * @param numRanks n
 * @param regionBytes of each region
 * @param outputBytes of each output
 */
record BufferSizes(
    BufferOptions options,
    Device device,
    int rank,
    int numRanks,
    long regionBytes,
    long outputBytes) {
  private static final int INDEX_BYTES = Long.BYTES;

  /**
   * Sizes that all ranks share: peers find a region by its number, so each is as large as the
   * largest rank's, though receive capacities may differ. Collective.
   *
   * @param group the ranks
   * @param options this rank's
   * @param device this rank's
   */
  static BufferSizes agree(ProcessGroup group, BufferOptions options, Device device) {
    BufferSizes own = new BufferSizes(options, device, group.rank(), group.size(), 0, 0);
    long region = 0;
    long output = 0;
    byte[] sizes =
        ByteBuffer.allocate(2 * Long.BYTES)
            .putLong(own.ownRegionBytes())
            .putLong(own.ownOutputBytes())
            .array();
    for (byte[] of : group.allGather(sizes)) {
      ByteBuffer peer = ByteBuffer.wrap(of);
      region = Math.max(region, peer.getLong());
      output = Math.max(output, peer.getLong());
    }
    return new BufferSizes(options, device, group.rank(), group.size(), region, output);
  }

  int numRegions() {
    return options.normalRegions();
  }

  /** As many combines as dispatch results can be open, up to what the native library keeps. */
  int numOutputs() {
    return Math.min(options.normalRegions(), Abi.MAX_OUTPUTS);
  }

  private long ownRegionBytes() {
    long bytes = bytesFor(RowOrder.RANK_MAJOR);
    return options.isExpertMajor() ? Math.max(bytes, bytesFor(RowOrder.EXPERT_MAJOR)) : bytes;
  }

  private long ownOutputBytes() {
    long bytes = outputBytes(RowOrder.RANK_MAJOR, options.maxTopk());
    return options.isExpertMajor() ? Math.max(bytes, outputBytes(RowOrder.EXPERT_MAJOR, 1)) : bytes;
  }

  /** Writes the native configuration. */
  void fill(BufferConfig config) {
    config.reset();
    config.putInt(BufferConfig.DEVICE, device.index());
    config.putInt(BufferConfig.RANK, rank);
    config.putInt(BufferConfig.NUM_RANKS, numRanks);
    config.putInt(BufferConfig.NUM_EXPERTS, options.numExperts());
    config.putInt(BufferConfig.MAX_TOKENS, options.maxTokensPerRank());
    config.putInt(BufferConfig.MAX_TOPK, options.maxTopk());
    config.putInt(BufferConfig.MAX_ROW_BYTES, 2 * options.hidden());
    config.putInt(BufferConfig.NUM_REGIONS, numRegions());
    config.putInt(BufferConfig.NUM_OUTPUTS, numOutputs());
    config.putInt(BufferConfig.MAX_HANDLES, options.maxOpenHandles());
    config.putInt(BufferConfig.COPY_PATH, Abi.COPY_AUTO);
    config.putInt(BufferConfig.MASK_ON_TIMEOUT, options.onTimeout() == TimeoutPolicy.MASK ? 1 : 0);
    config.putLong(BufferConfig.REGION_BYTES, regionBytes);
    config.putLong(BufferConfig.OUTPUT_BYTES, outputBytes);
  }

  private long bytesFor(RowOrder order) {
    try (RegionForm form = new RegionForm();
        Memory out = OffHeap.allocate(Long.BYTES)) {
      form.putInt(RegionForm.ORDER, Codes.order(order));
      form.putInt(RegionForm.ROW_BYTES, 2 * options.hidden());
      form.putInt(RegionForm.SCALE_WORDS, options.maxScalesPerRow());
      form.putInt(RegionForm.NUM_TOPK, options.maxTopk());
      form.putInt(RegionForm.INDEX_BYTES, INDEX_BYTES);
      form.putLong(RegionForm.CAPACITY_ROWS, capacityRows(order));
      Natives.require(
          Ep4jNative.regionBytes(form.address(), numRanks, options.numExperts(), out.address()),
          rank,
          "sizing regions");
      return OffHeap.getLong(out.address());
    }
  }

  private long outputBytes(RowOrder order, int weightsPerRow) {
    try (Memory out = OffHeap.allocate(Long.BYTES)) {
      Natives.require(
          Ep4jNative.outputBytes(
              capacityRows(order), options.hidden(), weightsPerRow, out.address()),
          rank,
          "sizing outputs");
      return OffHeap.getLong(out.address());
    }
  }

  private long capacityRows(RowOrder order) {
    return options.receiveCapacityRows(order, numRanks, options.maxTopk());
  }
}
