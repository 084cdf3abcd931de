package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.Event;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.Stream;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.backend.BackendHandle;
import io.github.deepep4j.internal.backend.BackendLowLatencyDispatch;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * A low-latency dispatch whose rows are under way. Receiving waits for every unmasked source's
 * word, then closes the gaps between the sources' slots; the order is by source and token because
 * each source filled its slots in token order.
 *
 * <p>A masked source that lives may still write to its slots, long after it was masked. Nothing is
 * moved there then: the rows are packed into memory of this rank's own.
 */
final class PendingLowLatencyDispatch implements BackendLowLatencyDispatch {
  private final RankContext context;
  private final Inbound inbound;
  private final LowLatencyDispatchOptions options;
  private final CpuLowLatencyHandle handle;
  private final long region;
  private final int rowBytes;
  private final int scaleWords;
  private @Nullable Memory ownPlace;
  private @Nullable Tensors tensors;
  private boolean received;

  /**
   * The receiving side.
   *
   * @param call what the ranks agreed on
   * @param epoch of the call
   * @param lease the region; its tag is the dispatch's ordinal
   * @param layout of the region
   */
  record Inbound(
      CallDescriptor call, long epoch, RegionPool.Lease lease, LowLatencyLayout layout) {}

  PendingLowLatencyDispatch(
      RankContext context, Inbound inbound, RoutingPlan plan, LowLatencyDispatchOptions options) {
    this.context = context;
    this.inbound = inbound;
    this.options = options;
    this.region = context.peers.own(inbound.lease().offset);
    this.rowBytes = inbound.call().rowBytes();
    this.scaleWords = inbound.call().scaleWords();
    this.handle =
        new CpuLowLatencyHandle(
            inbound.lease(),
            inbound.epoch(),
            plan,
            context.options.hidden(),
            new int[context.numRanks][context.localExperts],
            new int[context.localExperts]);
  }

  private Tensors makeTensors(long place) {
    LowLatencyLayout layout = inbound.layout();
    long experts = context.localExperts;
    long rows = layout.rowsPerExpert();
    long words = scaleWords;
    Tensor scales = null;
    if (words > 0) {
      DType type = options.quantization() == Quantization.UE8M0 ? DType.INT32 : DType.FLOAT32;
      scales =
          tensor(place + layout.scales(), type, experts, words, rows)
              .view(new long[] {experts, rows, words}, new long[] {words * rows, 1, rows});
    }
    return new Tensors(
        tensor(place + layout.x(), inbound.call().dtype(), experts, rows, context.options.hidden()),
        scales,
        tensor(place + layout.count(), DType.INT32, experts),
        tensor(place + layout.sourceInfo(), DType.INT32, experts, rows),
        tensor(place + layout.layoutRange(), DType.INT64, experts, context.numRanks));
  }

  private Tensor tensor(long address, DType dtype, long... shape) {
    return Tensor.ofAddress(address, dtype, Device.cpu(), inbound.lease(), shape);
  }

  @Override
  public void receive() {
    if (received) {
      return;
    }
    context.startReceive(describe(), options);
    int[][] counts = new int[context.numRanks][context.localExperts];
    EpException refused = null;
    for (int peer = 0; peer < context.numRanks; peer++) {
      Messages.Counts from = awaitRows(peer);
      if (from == null) {
        continue;
      }
      if (from.refusal() != null && refused == null) {
        refused =
            new EpException(
                EpException.Code.REFUSED,
                context.rank,
                inbound.call().operation().text,
                from.refusal().describe(peer, context.options.numExperts()));
      }
      counts[peer] = from.perExpert();
    }
    if (refused != null) {
      counts = new int[context.numRanks][context.localExperts];
    }
    long place = placeOfPackedRows();
    for (int expert = 0; expert < context.localExperts; expert++) {
      pack(expert, counts, place);
    }
    tensors = makeTensors(place);
    received = true;
    if (refused != null) {
      handle.drop();
      throw refused;
    }
    count(counts);
  }

  /** A source's counts once its rows are in their slots; null if it is masked. */
  private Messages.@Nullable Counts awaitRows(int source) {
    RegionPool.Lease lease = inbound.lease();
    long before = context.waits.blockedNanos(source);
    boolean landed =
        context.awaitCall(source, inbound.epoch(), inbound.call())
            && context.waits.await(
                source,
                Stage.ARRIVAL,
                () -> context.messages.hasLanded(source, lease.slot, lease.tag));
    Tensor waited = options.waitNanos();
    if (waited != null) {
      OffHeap.putLong(waited.address() + 8L * source, context.waits.blockedNanos(source) - before);
    }
    return landed ? context.messages.readLanded(source, lease.slot) : null;
  }

  /** The region itself, unless somebody may still write there. */
  private long placeOfPackedRows() {
    for (int source = 0; source < context.numRanks; source++) {
      if (context.peers.isMasked(source) && !context.peers.isGone(source)) {
        ownPlace = context.results.take(inbound.layout().bytes());
        return ownPlace.address();
      }
    }
    return region;
  }

  /** Closes the gaps of one local expert's slots; in place, rows only move towards the front. */
  private void pack(int expert, int[][] counts, long place) {
    LowLatencyLayout layout = inbound.layout();
    long first = expert * layout.rowsPerExpert();
    int begin = 0;
    for (int source = 0; source < context.numRanks; source++) {
      int count = counts[source][expert];
      long from = layout.slot(expert, source);
      long to = first + begin;
      packRows(
          region + layout.x() + from * layout.slotBytes(),
          place + layout.x() + to * rowBytes,
          count);
      OffHeap.copy(
          region + layout.origins() + 4 * from, place + layout.sourceInfo() + 4 * to, 4L * count);
      transposeScales(
          region + layout.wireScales() + from * layout.scaleSlotBytes(),
          place + layout.scales() + 4 * (first * scaleWords + begin),
          count);
      OffHeap.putLong(
          place + layout.layoutRange() + 8L * (expert * context.numRanks + source),
          (long) begin << 32 | count);
      handle.begins[source][expert] = begin;
      begin += count;
    }
    handle.counts[expert] = begin;
    OffHeap.putInt(place + layout.count() + 4L * expert, begin);
  }

  private void packRows(long from, long to, int count) {
    long slotBytes = inbound.layout().slotBytes();
    if (from == to && rowBytes == slotBytes) {
      return;
    }
    if (rowBytes == slotBytes) {
      OffHeap.copy(from, to, (long) count * rowBytes);
      return;
    }
    for (int row = 0; row < count; row++) {
      OffHeap.copy(from + row * slotBytes, to + (long) row * rowBytes, rowBytes);
    }
  }

  private void transposeScales(long from, long to, int count) {
    long slotBytes = inbound.layout().scaleSlotBytes();
    long columnBytes = 4 * inbound.layout().rowsPerExpert();
    for (int row = 0; row < count; row++) {
      for (int word = 0; word < scaleWords; word++) {
        OffHeap.putInt(
            to + word * columnBytes + 4L * row, OffHeap.getInt(from + row * slotBytes + 4L * word));
      }
    }
  }

  private void count(int[][] counts) {
    Tensor stats = options.receiveStats();
    for (int source = 0; source < context.numRanks; source++) {
      int rows = 0;
      for (int expert = 0; expert < context.localExperts; expert++) {
        rows += counts[source][expert];
        if (stats != null) {
          long cell = stats.address() + 4L * expert;
          OffHeap.putInt(cell, OffHeap.getInt(cell) + counts[source][expert]);
        }
      }
      context.traffic.lowLatency.received(source, rows);
    }
  }

  @Override
  public boolean isReceived() {
    return received;
  }

  @Override
  public Event event() {
    return Event.completed();
  }

  @Override
  public void close(@Nullable Stream stream) {
    if (isClosed()) {
      return;
    }
    try {
      if (context.canReceive()) {
        receive();
      }
    } finally {
      discard();
    }
  }

  @Override
  public void discard() {
    if (isClosed()) {
      return;
    }
    context.credits.close(inbound.lease());
    if (ownPlace != null) {
      context.results.give(ownPlace);
      ownPlace = null;
    }
  }

  @Override
  public boolean isClosed() {
    return !inbound.lease().isOpen();
  }

  @Override
  public String describe() {
    return inbound.lease().holder;
  }

  @Override
  public BackendHandle handle() {
    return handle;
  }

  @Override
  public Tensors tensors() {
    if (tensors == null) {
      throw new IllegalStateException(describe() + " has not been received");
    }
    return tensors;
  }
}
