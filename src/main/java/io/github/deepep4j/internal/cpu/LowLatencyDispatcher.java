package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;

/**
 * The sending half of a low-latency dispatch: one copy of a row to each of its experts, into the
 * slots of the region that each destination has given credit for, and one word when all are there.
 */
final class LowLatencyDispatcher {
  private final RankContext context;

  LowLatencyDispatcher(RankContext context) {
    this.context = context;
  }

  /** The sending half, and the rest too unless the call has a hook. */
  PendingLowLatencyDispatch dispatch(Requests.LowLatencyDispatch request) {
    LowLatencyDispatchOptions options = request.options();
    Tensor x = request.x();
    RegionPool.Lease lease = context.credits.open(context.nextName("lowLatencyDispatch"));
    PendingLowLatencyDispatch pending = null;
    boolean done = false;
    try {
      CallDescriptor call = describe(request);
      long epoch = context.enter(call, options);
      RoutingPlan plan =
          RoutingPlan.perExpert(request.topkIdx(), context.options.numExperts(), context.numRanks);
      LowLatencyLayout layout = context.windowLayout.lowLatency();
      send(
          plan, layout, new RowSender(x, options.quantization(), null, context.castRow), lease.tag);
      var inbound = new PendingLowLatencyDispatch.Inbound(call, epoch, lease, layout);
      pending = new PendingLowLatencyDispatch(context, inbound, plan, options);
      if (!options.isHook()) {
        pending.receive();
      }
      done = true;
      return pending;
    } finally {
      if (!done && pending != null) {
        pending.discard();
      } else if (!done) {
        context.credits.close(lease);
      }
    }
  }

  private void send(RoutingPlan plan, LowLatencyLayout layout, RowSender sender, long ordinal) {
    long[] regions = new long[context.numRanks];
    int[] slots = new int[context.numRanks];
    context.waits.startStage();
    for (int peer = 0; peer < context.numRanks; peer++) {
      int destination = peer;
      if (context.waits.await(
          destination, Stage.CREDIT, () -> context.messages.hasCredit(destination, ordinal))) {
        slots[peer] = context.messages.creditRegion(peer, ordinal);
        regions[peer] = context.peers.at(peer, context.messages.creditOffset(peer, ordinal));
      }
    }
    for (int token = 0; token < plan.numTokens; token++) {
      sendToken(plan, layout, sender, regions, token);
    }
    for (int peer = 0; peer < context.numRanks; peer++) {
      if (regions[peer] != 0 && !context.peers.isMasked(peer)) {
        context.messages.publishLanded(peer, slots[peer], ordinal, plan);
      }
    }
  }

  private void sendToken(
      RoutingPlan plan, LowLatencyLayout layout, RowSender sender, long[] regions, int token) {
    boolean loaded = false;
    for (int k = 0; k < plan.numTopk; k++) {
      int choice = token * plan.numTopk + k;
      int expert = plan.experts[choice];
      if (expert < 0) {
        continue;
      }
      int peer = expert / context.localExperts;
      long region = regions[peer];
      if (region == 0 || context.peers.isMasked(peer) || context.peers.isMaskedBy(peer)) {
        continue;
      }
      if (!loaded) {
        sender.load(token);
        loaded = true;
      }
      long slot = layout.slot(expert % context.localExperts, context.rank) + plan.ordinals[choice];
      sender.put(
          token,
          region + layout.x() + slot * layout.slotBytes(),
          region + layout.wireScales() + slot * layout.scaleSlotBytes());
      OffHeap.putInt(region + layout.origins() + 4 * slot, token);
      context.traffic.lowLatency.sent(peer, 1, sender.payloadBytes());
    }
  }

  private static CallDescriptor describe(Requests.LowLatencyDispatch request) {
    LowLatencyDispatchOptions options = request.options();
    Tensor x = request.x();
    return new CallDescriptor(
        CallDescriptor.Operation.LOW_LATENCY_DISPATCH,
        RowOrder.EXPERT_MAJOR,
        false,
        options.quantization() == null ? x.dtype() : DType.FP8_E4M3,
        options.quantization(),
        RowSender.wireRowBytes(x, options.quantization()),
        RowSender.wireScaleWords(x, options.quantization(), null),
        (int) request.topkIdx().size(1),
        request.topkIdx().dtype(),
        false,
        false,
        1,
        0);
  }
}
