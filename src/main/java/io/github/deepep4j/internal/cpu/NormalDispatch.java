package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.Event;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.BackendDispatch;
import io.github.deepep4j.internal.backend.BackendHandle;
import io.github.deepep4j.tensor.DType;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/** A normal-mode dispatch whose sends are issued: its receiving half and its result. */
final class NormalDispatch implements BackendDispatch {
  private final RankContext context;
  private final RegionPool.Lease lease;
  private final CallDescriptor call;
  private final CpuHandle handle;
  private final DispatchOptions options;
  private final RegionView view;
  private final BitSet granted;
  private final DType scaleType;
  private final boolean cached;
  private Tensors tensors;
  private @Nullable OwnedCopy owned;
  private boolean received;
  private boolean closed;

  /**
   * Makes the pending result.
   *
   * @param context the rank
   * @param inbound what this rank receives
   * @param handle the routing record
   * @param options the call's options
   */
  NormalDispatch(RankContext context, Inbound inbound, CpuHandle handle, DispatchOptions options) {
    this.context = context;
    this.lease = inbound.lease();
    this.call = inbound.call();
    this.granted = inbound.granted();
    this.cached = inbound.layout().form().numTopk() == 0;
    this.scaleType = inbound.scaleType();
    this.handle = handle;
    this.options = options;
    this.view = new RegionView(context, lease, inbound.layout());
    this.tensors = view.tensors(call, inbound.hidden(), scaleType);
  }

  /**
   * The receiving side of a dispatch.
   *
   * @param call what the ranks agreed on
   * @param lease the region
   * @param layout of the region
   * @param hidden H of this call
   * @param scaleType dtype of the scales
   * @param granted sources that were let in
   */
  record Inbound(
      CallDescriptor call,
      RegionPool.Lease lease,
      RegionLayout layout,
      int hidden,
      DType scaleType,
      BitSet granted) {}

  @Override
  public void receive() {
    if (received) {
      return;
    }
    context.startReceive(describe(), options);
    ReceivePlan plan = handle.received;
    for (int peer = 0; peer < context.numRanks; peer++) {
      if (arrives(peer)) {
        context.traffic.normal.received(peer, plan.realRowsOf(peer));
      } else {
        plan.forRowsOf(peer, view::clearLost);
      }
    }
    plan.forPadding((begin, end) -> view.clearPadding(begin, end, options.isZeroFill()));
    if (handle.bounded) {
      view.clearPadding(plan.numReceived, handle.resultRows, false);
    }
    if (!cached) {
      view.writeCounts(plan);
    }
    received = true;
    if (options.into() != null || options.allocator() != null) {
      OwnedCopy copy = new OwnedCopy(context.results);
      owned = copy;
      try {
        tensors = copy.of(tensors, options, plan.numReceived);
      } finally {
        context.regions.close(lease);
      }
    }
  }

  /** Waits for a source's rows; false if it is lost and its rows have to be cleared. */
  private boolean arrives(int source) {
    boolean arrived =
        granted.get(source)
            && context.waits.await(
                source,
                Stage.ARRIVAL,
                () -> context.messages.hasArrived(source, lease.slot, lease.tag));
    if (arrived || !granted.get(source)) {
      lease.pending.clear(source);
    }
    // A source that some other destination has turned down sends nothing to this one either, nor
    // does one of another node whose rows come by way of a rank that is masked.
    return arrived
        && !context.messages.hasDropped(source, lease.slot)
        && !context.peers.isMasked(context.topology.proxy(source, context.rank));
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
    if (closed) {
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
    if (closed) {
      return;
    }
    closed = true;
    context.regions.close(lease);
    if (owned != null) {
      owned.close();
    }
  }

  @Override
  public boolean isClosed() {
    return closed;
  }

  @Override
  public String describe() {
    return lease.holder;
  }

  @Override
  public BackendHandle handle() {
    return handle;
  }

  @Override
  public int numReceived() {
    return handle.bounded ? -1 : handle.received.numReceived;
  }

  @Override
  public int @Nullable [] tokensPerExpert() {
    return handle.bounded || cached ? null : handle.received.tokensPerExpert;
  }

  @Override
  public Tensors tensors() {
    return tensors;
  }
}
