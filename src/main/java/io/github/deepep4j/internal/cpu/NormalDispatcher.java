package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.error.EpCapacityException;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/**
 * The sending half of normal-mode dispatch, in protocol order: plan, counts, grants, rows, arrival
 * words. As a destination this rank decides alone; as a source it follows what each destination
 * says. If any destination says no, every rank drops the call alike.
 */
final class NormalDispatcher {
  private final RankContext context;

  NormalDispatcher(RankContext context) {
    this.context = context;
  }

  /** Dispatch with routing. */
  NormalDispatch dispatch(Requests.Dispatch request) {
    DispatchOptions options = request.options();
    Tensor topkIdx = request.topkIdx();
    CallDescriptor call = describe(request);
    var form =
        new RegionLayout.Form(
            call.order(),
            call.rowBytes(),
            call.scaleWords(),
            call.numTopk(),
            topkIdx.dtype().bytes());
    RegionPool.Lease lease = openRegion("dispatch");
    try {
      context.takeHandle();
    } catch (IllegalStateException noHandle) {
      context.regions.close(lease);
      throw noHandle;
    }
    boolean done = false;
    try {
      NormalDispatch result = negotiateAndSend(request, call, form, lease);
      if (!options.isHook()) {
        result.receive();
      }
      done = true;
      return result;
    } finally {
      if (!done) {
        context.giveHandle();
        context.regions.close(lease);
      }
    }
  }

  private NormalDispatch negotiateAndSend(
      Requests.Dispatch request,
      CallDescriptor call,
      RegionLayout.Form form,
      RegionPool.Lease lease) {
    DispatchOptions options = request.options();
    Messages.DispatchId id = context.enterDispatch(call, options);
    lease.tag = id.epoch();
    boolean rankMajor = form.rankMajor();
    int numExperts = context.options.numExperts();
    RoutingPlan plan =
        rankMajor
            ? RoutingPlan.perRank(request.topkIdx(), numExperts, context.numRanks)
            : RoutingPlan.perExpert(request.topkIdx(), numExperts, context.numRanks);
    DispatchSend send = new DispatchSend(context, call, id);
    send.publishCounts(plan);
    Messages.@Nullable Counts[] counts = send.awaitCounts();
    ReceivePlan received = decide(send, counts, form, lease, options);
    BitSet granted = new BitSet();
    granted.or(lease.pending);
    send.awaitGrants();
    DispatchSend.Rejection rejection = send.rejection();
    if (rejection != null || received == null) {
      send.drop(lease);
      EpException error = error(rejection);
      if (!call.bounded()) {
        throw error;
      }
      // Nobody sends, so nobody is let in: the result is empty and the next call throws.
      received = emptyPlan(form, lease, options, error);
      granted.clear();
      context.reportLater(error);
    }
    CpuHandle.Sent sent = sent(request, plan, send, rejection != null);
    if (rejection == null) {
      send.sendRows(sent, form, sender(request.x(), options));
      send.publishArrivals();
    }
    int rows = resultRows(options, received);
    CpuHandle handle = new CpuHandle(lease.tag, call, sent, received, rows, context::giveHandle);
    return new NormalDispatch(
        context,
        inbound(call, lease, layout(form, rows), request.x(), options, granted),
        handle,
        options);
  }

  /** Dispatch over a handle's routing. */
  NormalDispatch dispatch(Requests.CachedDispatch request) {
    DispatchOptions options = request.options();
    CpuHandle handle = (CpuHandle) request.handle();
    CallDescriptor call = describeCached(request, handle);
    var form = new RegionLayout.Form(call.order(), call.rowBytes(), call.scaleWords(), 0, 0);
    RegionPool.Lease lease = openRegion("cached dispatch");
    boolean done = false;
    try {
      Messages.DispatchId id = context.enterDispatch(call, options);
      lease.tag = id.epoch();
      DispatchSend send = new DispatchSend(context, call, id);
      RegionLayout layout = layout(form, handle.resultRows);
      boolean fits = place(lease, layout, id, call);
      BitSet granted = new BitSet();
      for (int peer = 0; peer < context.numRanks; peer++) {
        if (!context.peers.isMasked(peer)) {
          send.answer(
              peer,
              fits
                  ? Messages.Grant.granted(lease, layout.rows(), 0, new int[0])
                  : Messages.Grant.overflow(layout.rows(), rowsThatFit(form)));
          granted.set(peer, fits);
        }
      }
      lease.pending.or(granted);
      send.awaitGrants();
      DispatchSend.Rejection rejection = send.rejection();
      if (rejection != null) {
        send.drop(lease);
        throw error(rejection);
      }
      var sent =
          new CpuHandle.Sent(
              handle.numTokens, (int) request.x().size(1), handle.experts, handle.rows, null);
      send.sendRows(sent, form, sender(request.x(), options));
      send.publishArrivals();
      NormalDispatch result =
          new NormalDispatch(
              context,
              inbound(call, lease, layout, request.x(), options, granted),
              handle,
              options);
      if (!options.isHook()) {
        result.receive();
      }
      done = true;
      return result;
    } finally {
      if (!done) {
        context.regions.close(lease);
      }
    }
  }

  /** Places the region of a cached dispatch, which has no counts to wait for. */
  private boolean place(
      RegionPool.Lease lease, RegionLayout layout, Messages.DispatchId id, CallDescriptor call) {
    for (int peer = 0; context.windowLayout.isArena() && peer < context.numRanks; peer++) {
      context.awaitCall(peer, id.epoch(), call);
    }
    return context.placeRegion(lease, layout.bytes());
  }

  /** As a destination: grants every source its place, or says why not; null if not. */
  private @Nullable ReceivePlan decide(
      DispatchSend send,
      Messages.@Nullable Counts[] counts,
      RegionLayout.Form form,
      RegionPool.Lease lease,
      DispatchOptions options) {
    Messages.Grant refusal = refusal(counts);
    if (refusal != null) {
      answerAll(send, counts, refusal);
      return null;
    }
    long needed = ReceivePlan.rows(counts, form.rankMajor(), options.expertAlignment());
    long capacity = capacity(form, options);
    if (needed <= capacity) {
      ReceivePlan plan =
          new ReceivePlan(
              counts, context.localExperts, form.rankMajor(), options.expertAlignment());
      RegionLayout layout = layout(form, resultRows(options, plan));
      if (context.placeRegion(lease, layout.bytes())) {
        for (int source = 0; source < counts.length; source++) {
          if (counts[source] != null && !context.peers.isMasked(source)) {
            send.answer(
                source,
                Messages.Grant.granted(
                    lease, layout.rows(), plan.base[source], plan.expertBase[source]));
            lease.pending.set(source);
          }
        }
        return plan;
      }
      capacity = Math.min(rowsThatFit(form), needed - 1);
    }
    answerAll(send, counts, Messages.Grant.overflow(needed, capacity));
    return null;
  }

  /** Rows that this rank can take: of its regions, and of the caller's own tensor. */
  private long capacity(RegionLayout.Form form, DispatchOptions options) {
    if (options.isBounded()) {
      return options.maxReceivedTokens();
    }
    long rows = context.options.receiveCapacityRows(form.order(), context.numRanks, form.numTopk());
    Tensor into = options.into();
    Tensor scalesInto = options.scalesInto();
    rows = into == null ? rows : Math.min(rows, into.size(0));
    rows = scalesInto == null ? rows : Math.min(rows, scalesInto.size(0));
    return Math.min(rows, Integer.MAX_VALUE); // rows are numbered by int32
  }

  private static Messages.@Nullable Grant refusal(Messages.@Nullable Counts[] counts) {
    for (int source = 0; source < counts.length; source++) {
      Messages.Counts from = counts[source];
      if (from != null && from.refusal() != null) {
        return Messages.Grant.refused(source, from.refusal());
      }
    }
    return null;
  }

  private static void answerAll(
      DispatchSend send, Messages.@Nullable Counts[] counts, Messages.Grant grant) {
    for (int source = 0; source < counts.length; source++) {
      if (counts[source] != null) {
        send.answer(source, grant);
      }
    }
  }

  private EpException error(DispatchSend.@Nullable Rejection rejection) {
    String operation = "dispatch";
    if (rejection == null) {
      throw new AssertionError("a rank that says no grants itself nothing");
    }
    Messages.Grant grant = rejection.grant();
    RoutingPlan.Refusal refusal = grant.refusal();
    return refusal != null
        ? new EpException(
            EpException.Code.REFUSED,
            context.rank,
            operation,
            refusal.describe(grant.origin(), context.options.numExperts()))
        : new EpCapacityException(
            context.rank, operation, rejection.rank(), grant.needed(), grant.capacity());
  }

  /** The empty result of a bounded dispatch that was dropped. */
  private ReceivePlan emptyPlan(
      RegionLayout.Form form, RegionPool.Lease lease, DispatchOptions options, EpException error) {
    ReceivePlan empty =
        new ReceivePlan(
            new Messages.Counts[context.numRanks],
            context.localExperts,
            form.rankMajor(),
            options.expertAlignment());
    if (lease.offset < 0
        && !context.regions.place(lease, layout(form, resultRows(options, empty)).bytes())) {
      throw error;
    }
    return empty;
  }

  private CpuHandle.Sent sent(
      Requests.Dispatch request, RoutingPlan plan, DispatchSend send, boolean dropped) {
    Tensor weights = request.topkWeights();
    int[] rows = dropped ? plan.ordinals.clone() : send.finalRows(plan);
    if (dropped) {
      java.util.Arrays.fill(rows, -1);
    }
    return new CpuHandle.Sent(
        plan.numTokens,
        (int) request.x().size(1),
        plan.experts,
        rows,
        weights == null ? null : weights.toFloats());
  }

  private RegionPool.Lease openRegion(String operation) {
    return context.regions.open(context.nextName(operation));
  }

  private RegionLayout layout(RegionLayout.Form form, long rows) {
    return new RegionLayout(form, context.numRanks, context.localExperts, rows);
  }

  private static int resultRows(DispatchOptions options, ReceivePlan plan) {
    return options.isBounded() ? options.maxReceivedTokens() : plan.numReceived;
  }

  /** Rows of a form that the largest free extent holds. */
  private long rowsThatFit(RegionLayout.Form form) {
    long free = context.regions.largest();
    long perRow = Math.max(1, layout(form, 1024).bytes() - layout(form, 0).bytes());
    return Math.max(0, (free - layout(form, 0).bytes()) * 1024 / perRow);
  }

  private RowSender sender(Tensor x, DispatchOptions options) {
    return new RowSender(x, options.quantization(), options.scales(), context.castRow);
  }

  private static NormalDispatch.Inbound inbound(
      CallDescriptor call,
      RegionPool.Lease lease,
      RegionLayout layout,
      Tensor x,
      DispatchOptions options,
      BitSet granted) {
    Tensor scales = options.scales();
    DType scaleType =
        scales != null
            ? scales.dtype()
            : options.quantization() == Quantization.UE8M0 ? DType.INT32 : DType.FLOAT32;
    return new NormalDispatch.Inbound(call, lease, layout, (int) x.size(1), scaleType, granted);
  }

  private static CallDescriptor describe(Requests.Dispatch request) {
    DispatchOptions options = request.options();
    Tensor x = request.x();
    return new CallDescriptor(
        CallDescriptor.Operation.DISPATCH,
        options.rowOrder(),
        options.isBounded(),
        options.quantization() == null ? x.dtype() : DType.FP8_E4M3,
        options.quantization(),
        RowSender.wireRowBytes(x, options.quantization()),
        RowSender.wireScaleWords(x, options.quantization(), options.scales()),
        (int) request.topkIdx().size(1),
        request.topkIdx().dtype(),
        request.topkWeights() != null,
        false,
        options.rowOrder() == RowOrder.EXPERT_MAJOR ? options.expertAlignment() : 1,
        0);
  }

  private static CallDescriptor describeCached(Requests.CachedDispatch request, CpuHandle handle) {
    DispatchOptions options = request.options();
    Tensor x = request.x();
    return new CallDescriptor(
        CallDescriptor.Operation.CACHED_DISPATCH,
        handle.rowOrder(),
        handle.bounded,
        options.quantization() == null ? x.dtype() : DType.FP8_E4M3,
        options.quantization(),
        RowSender.wireRowBytes(x, options.quantization()),
        RowSender.wireScaleWords(x, options.quantization(), options.scales()),
        handle.numTopk(),
        null,
        false,
        false,
        1,
        handle.id);
  }
}
