package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.TimeoutPolicy;
import io.github.deepep4j.internal.backend.Topology;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.BufferConfig;
import io.github.deepep4j.internal.cuda.binding.BufferMemory;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.InternodeConfig;
import io.github.deepep4j.internal.cuda.binding.InternodeNative;
import io.github.deepep4j.internal.cuda.binding.LowLatencyConfig;
import io.github.deepep4j.internal.cuda.binding.LowLatencyNative;
import io.github.deepep4j.internal.cuda.binding.NvshmemNative;
import io.github.deepep4j.internal.cuda.binding.NvshmemWindow;
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
    // Without normal mode the native buffer still has a region and an output, of no bytes.
    long arenaBytes = options.isNormal() ? options.arenaBytes() : 0;
    BufferSizes none = new BufferSizes(options, device, rank, numRanks, 0, 0, arenaBytes);
    return arenaBytes > 0 || !options.isNormal()
        ? none
        : new BufferSizes(
            options, device, rank, numRanks, none.largestRegion(), none.largestOutput(), 0);
  }

  int numRegions() {
    return options.isNormal() ? options.normalRegions() : 1;
  }

  private int numHandles() {
    return options.isNormal() ? options.maxOpenHandles() : 1;
  }

  /** Low-latency dispatches that can be sent and not received. */
  static int numInboxes(BufferOptions options) {
    return options.lowLatencyRegions();
  }

  /** Low-latency combines that can be open. */
  static int numLowLatencyOutputs(BufferOptions options) {
    return options.lowLatencyRegions();
  }

  /** As many combines as dispatch results can be open, up to what the native library keeps. */
  int numOutputs() {
    return Math.min(numRegions(), Abi.MAX_OUTPUTS);
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
  private void fill(BufferConfig config) {
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
    config.putInt(BufferConfig.MAX_HANDLES, numHandles());
    config.putInt(BufferConfig.COPY_PATH, Abi.COPY_AUTO);
    config.putInt(BufferConfig.MASK_ON_TIMEOUT, options.onTimeout() == TimeoutPolicy.MASK ? 1 : 0);
    config.putLong(BufferConfig.REGION_BYTES, regionBytes);
    config.putLong(BufferConfig.OUTPUT_BYTES, outputBytes);
    config.putLong(BufferConfig.ARENA_BYTES, arenaBytes);
  }

  /** Nodes that the ranks share. */
  int numNodes() {
    return Topology.of(options, numRanks).numNodes();
  }

  /** Writes the native configuration of several nodes. */
  private void fill(InternodeConfig config) {
    config.reset();
    config.putInt(InternodeConfig.RANKS_PER_NODE, options.ranksPerNode());
    config.putInt(InternodeConfig.STAGING_ROWS, options.stagingRows());
    config.putInt(InternodeConfig.MAX_SCALE_WORDS, options.maxScalesPerRow());
  }

  /** Bytes that several nodes add: to the window, and to private memory. */
  private long[] internodeBytes(BufferConfig config) {
    if (numNodes() == 1) {
      return new long[2];
    }
    try (InternodeConfig internode = new InternodeConfig();
        Memory out = OffHeap.allocate(2 * Long.BYTES)) {
      fill(internode);
      long second = out.address() + Long.BYTES;
      Natives.require(
          InternodeNative.bytes(config.address(), internode.address(), out.address(), second),
          rank,
          "sizing the memory for other nodes");
      return new long[] {OffHeap.getLong(out.address()), OffHeap.getLong(second)};
    }
  }

  /** Writes the native configuration of low-latency mode. */
  private void fill(LowLatencyConfig config) {
    config.reset();
    config.putInt(LowLatencyConfig.MAX_TOKENS, options.maxTokensPerRank());
    config.putInt(LowLatencyConfig.HIDDEN, options.hidden());
    config.putInt(LowLatencyConfig.NUM_INBOXES, numInboxes(options));
    config.putInt(LowLatencyConfig.NUM_REGIONS, options.lowLatencyRegions());
    config.putInt(LowLatencyConfig.NUM_OUTPUTS, numLowLatencyOutputs(options));
  }

  /**
   * Makes the native buffer.
   *
   * @param out where its handle is put
   * @return the native status
   */
  int create(long out) {
    try (BufferConfig config = new BufferConfig();
        InternodeConfig internode = new InternodeConfig();
        LowLatencyConfig lowLatency = new LowLatencyConfig()) {
      fill(config);
      fill(lowLatency);
      if (numNodes() > 1) {
        fill(internode);
        return InternodeNative.bufferCreate(config.address(), internode.address(), out);
      }
      return options.isLowLatency()
          ? LowLatencyNative.bufferCreate(config.address(), lowLatency.address(), out)
          : Ep4jNative.bufferCreate(config.address(), out);
    }
  }

  /** Bytes of the window in NVSHMEM's heap, which has room for what goes over a network. */
  long nvshmemWindowBytes() {
    try (Configs configs = new Configs();
        Memory out = OffHeap.allocate(Long.BYTES)) {
      Natives.require(
          NvshmemNative.windowBytes(
              configs.buffer(), configs.lowLatency(), configs.internode(), out.address()),
          rank,
          "sizing a window in NVSHMEM's heap");
      return OffHeap.getLong(out.address());
    }
  }

  /**
   * Makes the native buffer over NVSHMEM. Collective.
   *
   * @param windowBytes of every rank's window
   * @param out where its handle is put
   * @return the native status
   */
  int createOverNvshmem(long windowBytes, long out) {
    try (Configs configs = new Configs();
        NvshmemWindow window = new NvshmemWindow()) {
      window.putLong(NvshmemWindow.BYTES, windowBytes);
      window.putInt(NvshmemWindow.FORCE_REMOTE, options.nvshmem().isForceRemote() ? 1 : 0);
      return NvshmemNative.bufferCreate(
          configs.buffer(), configs.lowLatency(), configs.internode(), window.address(), out);
    }
  }

  /** What the native library is told of a buffer; addresses are 0 for what it does not have. */
  private final class Configs implements AutoCloseable {
    private final BufferConfig buffer = new BufferConfig();
    private final LowLatencyConfig lowLatency = new LowLatencyConfig();
    private final InternodeConfig internode = new InternodeConfig();

    Configs() {
      fill(buffer);
      fill(lowLatency);
      fill(internode);
    }

    long buffer() {
      return buffer.address();
    }

    long lowLatency() {
      return options.isLowLatency() ? lowLatency.address() : 0;
    }

    long internode() {
      return numNodes() > 1 ? internode.address() : 0;
    }

    @Override
    public void close() {
      buffer.close();
      lowLatency.close();
      internode.close();
    }
  }

  /** What the native buffer will take. */
  SizeHint hint() {
    try (BufferConfig config = new BufferConfig();
        LowLatencyConfig lowLatency = new LowLatencyConfig();
        BufferMemory memory = new BufferMemory()) {
      fill(config);
      fill(lowLatency);
      int status =
          options.isLowLatency()
              ? LowLatencyNative.bufferBytes(
                  config.address(), lowLatency.address(), memory.address())
              : Ep4jNative.bufferBytes(config.address(), memory.address());
      Natives.require(status, rank, "sizing a buffer");
      long[] internode = internodeBytes(config);
      return new SizeHint(
          memory.getLong(BufferMemory.CONTROL_BYTES),
          memory.getLong(BufferMemory.DISPATCH_BYTES) + internode[0],
          memory.getLong(BufferMemory.COMBINE_BYTES),
          memory.getLong(BufferMemory.LOW_LATENCY_DISPATCH_BYTES),
          memory.getLong(BufferMemory.LOW_LATENCY_COMBINE_BYTES),
          memory.getLong(BufferMemory.PRIVATE_BYTES) + internode[1],
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
