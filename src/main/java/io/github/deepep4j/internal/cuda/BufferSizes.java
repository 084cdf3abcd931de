package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.TimeoutPolicy;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.BufferConfig;
import io.github.deepep4j.internal.cuda.binding.BufferMemory;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.RegionForm;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.Device;

/**
 * What one rank's native buffer is made for: every region is as large as the largest result that
 * the options allow, or has a place in an arena. Needs the native library, not a device.
 *
 * @param options of the buffer
 * @param device of this rank
 * @param rank this rank
 * @param numRanks n
 * @param regionBytes of each region
 * @param outputBytes of each output
 * @param arenaBytes of the arena that regions and outputs have their memory in; 0 for none
 */
record BufferSizes(
    BufferOptions options,
    Device device,
    int rank,
    int numRanks,
    long regionBytes,
    long outputBytes,
    long arenaBytes) {
  private static final int INDEX_BYTES = Long.BYTES;

  /**
   * Sizes for one rank. They may differ between ranks, as receive capacities do: peers are told
   * where a region or an output lies.
   *
   * @param options this rank's
   * @param device this rank's
   * @param rank this rank
   * @param numRanks n
   */
  static BufferSizes of(BufferOptions options, Device device, int rank, int numRanks) {
    BufferSizes none = new BufferSizes(options, device, rank, numRanks, 0, 0, options.arenaBytes());
    return options.arenaBytes() > 0
        ? none
        : new BufferSizes(
            options, device, rank, numRanks, none.largestRegion(), none.largestOutput(), 0);
  }

  int numRegions() {
    return options.normalRegions();
  }

  /** As many combines as dispatch results can be open, up to what the native library keeps. */
  int numOutputs() {
    return Math.min(options.normalRegions(), Abi.MAX_OUTPUTS);
  }

  private long largestRegion() {
    long bytes = bytesFor(RowOrder.RANK_MAJOR);
    return options.isExpertMajor() ? Math.max(bytes, bytesFor(RowOrder.EXPERT_MAJOR)) : bytes;
  }

  private long largestOutput() {
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
    config.putLong(BufferConfig.ARENA_BYTES, arenaBytes);
  }

  /** What the native buffer will take. */
  SizeHint hint() {
    try (BufferConfig config = new BufferConfig();
        BufferMemory memory = new BufferMemory()) {
      fill(config);
      Natives.require(
          Ep4jNative.bufferBytes(config.address(), memory.address()), rank, "sizing a buffer");
      return new SizeHint(
          memory.getLong(BufferMemory.CONTROL_BYTES),
          memory.getLong(BufferMemory.DISPATCH_BYTES),
          memory.getLong(BufferMemory.COMBINE_BYTES),
          0,
          0,
          memory.getLong(BufferMemory.PRIVATE_BYTES),
          memory.getLong(BufferMemory.PINNED_BYTES));
    }
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
