package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CallOptions;
import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.backend.Topology;
import io.github.deepep4j.internal.backend.Unmask;
import io.github.deepep4j.internal.memory.SharedWindow;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.BitSet;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * One rank's state that all operations share: who the peers are, the regions, the epoch, and the
 * entry into a collective call.
 */
final class RankContext {
  final int rank;
  final int numRanks;
  final int localExperts;
  final BufferOptions options;
  final Topology topology;
  final WindowLayout windowLayout;
  final Peers peers;
  final Waits waits;
  final Messages messages;
  final RegionPool regions;
  final RegionPool outputs;
  final RegionPool lowLatencyOutputs;
  final LowLatencyCredits credits;
  final Traffic traffic;
  final RowReducer reducer;
  final CastRow castRow;
  final LocalMemory results = new LocalMemory();
  private long epoch;
  private long dispatchOrdinal;
  private final AtomicInteger openHandles = new AtomicInteger();
  private @Nullable EpException report;

  RankContext(
      int rank, BufferOptions options, WindowLayout layout, SharedWindow window, int ranks) {
    this.rank = rank;
    this.numRanks = ranks;
    this.options = options;
    this.topology = Topology.of(options, ranks);
    this.windowLayout = layout;
    this.localExperts = options.numExperts() / ranks;
    ControlLayout control = layout.control();
    this.peers = new Peers(rank, ranks, window, control);
    this.waits = new Waits(peers, options);
    this.messages = new Messages(peers, control, localExperts);
    this.traffic = new Traffic(topology, rank);
    this.reducer = RowReducers.best();
    this.castRow = new CastRow(RowReducers.bestCaster());
    Extents dispatchExtents = dispatchExtents(layout);
    this.regions =
        new RegionPool(
            "dispatch",
            layout.regions(),
            dispatchExtents,
            (lease, peer) ->
                messages.hasArrived(peer, lease.slot, lease.tag) || peers.isGone(peer));
    this.outputs =
        new RegionPool(
            "expert output",
            layout.normalOutputs(),
            layout.isArena()
                ? dispatchExtents
                : new Extents.Fixed(
                    layout.outputBase(), layout.outputBytes(), layout.normalOutputs()),
            (lease, peer) -> hasFinished(lease, peer, 0));
    int firstLowLatency = layout.normalOutputs();
    this.lowLatencyOutputs =
        new RegionPool(
            "low-latency expert output",
            layout.lowLatencyRegions(),
            new Extents.Fixed(
                layout.lowLatencyOutputBase(),
                Math.max(1, layout.lowLatencyOutputBytes()),
                layout.lowLatencyRegions()),
            (lease, peer) -> hasFinished(lease, peer, firstLowLatency));
    this.credits = new LowLatencyCredits(this);
    waits.onMask(this::forgetMasked);
  }

  private static Extents dispatchExtents(WindowLayout layout) {
    return layout.isArena()
        ? new Extents.Arena(layout.dispatchBase(), layout.dispatchTotal())
        : new Extents.Fixed(layout.dispatchBase(), layout.regionBytes(), layout.regions());
  }

  /**
   * Whether a reader of expert outputs has finished with them. A masked one may still be reading:
   * it looks for masks when it is done, and drops what it has read.
   */
  private boolean hasFinished(RegionPool.Lease lease, int peer, int firstOutput) {
    return peers.isMasked(peer)
        || messages.hasRead(peer, firstOutput + lease.slot, lease.tag)
        || peers.isGone(peer);
  }

  /** Expert outputs are only read by a peer, so a masked one holds none of them. */
  private void forgetMasked(int peer) {
    outputs.forget(peer);
    lowLatencyOutputs.forget(peer);
  }

  void mask(int peer) {
    peers.mask(peer);
    forgetMasked(peer);
  }

  /** Forgets what a peer might still touch here: it has said that it touches nothing. */
  void forget(int peer) {
    regions.forget(peer);
    forgetMasked(peer);
  }

  /** Throws if the buffer has failed, this rank is masked, or a report is waiting. */
  void checkUsable(String operation) {
    waits.enter(operation, options.timeout().toNanos());
    waits.checkUsable();
    waits.checkMaskedHere();
    waits.checkFailedPeers();
    EpException waiting = report;
    if (waiting != null) {
      report = null;
      throw waiting;
    }
  }

  /**
   * Whether a result can still be received: not once the buffer has failed or this rank is masked.
   * Its peers then expect nothing from it.
   */
  boolean canReceive() {
    return !waits.hasFailed() && peers.maskedBy() < 0;
  }

  /** Keeps what a call without a host wait has found for the next call. */
  void reportLater(EpException later) {
    report = later;
  }

  /**
   * Enters a collective call: takes its epoch and announces it. Nothing that the caller could
   * correct may fail after this.
   *
   * @return the epoch
   */
  long enter(CallDescriptor call, CallOptions<?> callOptions) {
    startWaits(call.operation().text, callOptions);
    epoch++;
    for (int peer = 0; peer < numRanks; peer++) {
      if (!peers.isMasked(peer)) {
        messages.publishCall(peer, epoch, call);
      }
    }
    return epoch;
  }

  /** {@link #enter} for a normal-mode dispatch, which has an ordinal among its like as well. */
  Messages.DispatchId enterDispatch(CallDescriptor call, CallOptions<?> callOptions) {
    return new Messages.DispatchId(enter(call, callOptions), dispatchOrdinal++);
  }

  /** Names the operation of the waits that follow, their deadline and whose statistics grow. */
  void startWaits(String operation, CallOptions<?> callOptions) {
    var timeout = callOptions.timeout();
    waits.enter(operation, (timeout == null ? options.timeout() : timeout).toNanos());
    waits.chargeTo(
        callOptions instanceof DispatchOptions || callOptions instanceof CombineOptions
            ? traffic.normal.waitNanos()
            : traffic.lowLatency.waitNanos());
  }

  /** {@link #startWaits} for the receiving half of a call; throws if the buffer has failed. */
  void startReceive(String result, CallOptions<?> callOptions) {
    startWaits("receive of " + result, callOptions);
    waits.checkUsable();
  }

  /**
   * Waits until a peer has entered the call of an epoch.
   *
   * @return false if it is masked
   * @throws EpException {@code MISMATCH} if it called something else; the buffer has then failed
   */
  boolean awaitCall(int peer, long callEpoch, CallDescriptor call) {
    if (!waits.await(peer, Stage.CALL, () -> messages.calledEpoch(peer, callEpoch) >= callEpoch)) {
      return false;
    }
    // A peer may be so far ahead that the ring has moved on: it has then left this call behind.
    if (messages.calledEpoch(peer, callEpoch) == callEpoch) {
      if (!messages.isCall(peer, callEpoch, call)) {
        CallDescriptor seen = messages.readCall(peer, callEpoch);
        throw waits.fail(
            FailureReport.mismatch(callEpoch, rank, call, peer, seen), "the calls must be alike");
      }
    }
    return true;
  }

  /** How far this rank has come. */
  Unmask.Position position() {
    return new Unmask.Position(epoch, dispatchOrdinal, credits.nextCall());
  }

  /**
   * Goes on from where the furthest member of an unmask is.
   *
   * @param position at least this rank's own
   * @param returned members that were masked here until now
   */
  void moveTo(Unmask.Position position, BitSet returned) {
    epoch = position.epoch();
    dispatchOrdinal = position.dispatches();
    credits.moveTo(position.lowLatencyDispatches(), returned);
  }

  /**
   * Gives a dispatch's lease its memory. In an arena, outputs that every peer has read are given
   * back first, and every peer must have entered the call: it then reads no more of them before it
   * is answered, so what fits, and where, does not depend on who is fast.
   */
  boolean placeRegion(RegionPool.Lease lease, long bytes) {
    outputs.settle();
    return regions.place(lease, bytes);
  }

  void takeHandle() {
    int open = openHandles.get();
    if (open >= options.maxOpenHandles()) {
      throw new IllegalStateException(
          "no free handle: "
              + open
              + " are open, as many as the buffer's maxOpenHandles; close one first");
    }
    openHandles.incrementAndGet();
  }

  /** Any thread: a handle may be closed by another one than the buffer's user. */
  void giveHandle() {
    openHandles.decrementAndGet();
  }

  int openHandles() {
    return openHandles.get();
  }

  /** Makes every tensor of the buffer unusable and frees what no peer has seen. */
  void end() {
    regions.endAll();
    outputs.endAll();
    lowLatencyOutputs.endAll();
    credits.endAll();
    results.close();
  }

  /** Name of the next call's result, for messages. */
  String nextName(String operation) {
    return operation + " #" + (epoch + 1);
  }

  /** A tensor over a place in this rank's window, bound to a lease. */
  Tensor tensor(RegionPool.Lease lease, long offset, DType dtype, long... shape) {
    return Tensor.ofAddress(peers.own(lease.offset + offset), dtype, Device.cpu(), lease, shape);
  }
}
