package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.DispatchLayout;
import io.github.deepep4j.Statistics;
import io.github.deepep4j.Stream;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.backend.BackendBuffer;
import io.github.deepep4j.internal.backend.BackendCombine;
import io.github.deepep4j.internal.backend.BackendDispatch;
import io.github.deepep4j.internal.backend.BackendHandle;
import io.github.deepep4j.internal.backend.BackendLowLatencyDispatch;
import io.github.deepep4j.internal.backend.PendingResult;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.internal.backend.Unmask;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.internal.memory.SharedWindow;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * One rank's end of a buffer on the CPU. Ties the operations to the shared state; each operation is
 * a class of its own, and the protocol between ranks is told in this package's description.
 */
final class CpuBuffer implements BackendBuffer {
  private static final long PAGE_BYTES = 4096;

  private final RankContext context;
  private final SharedWindow window;
  private final NormalDispatcher dispatcher;
  private final NormalCombiner combiner;
  private final LowLatencyDispatcher lowLatencyDispatcher;
  private final LowLatencyCombiner lowLatencyCombiner;
  private final OutputRegions outputs;
  private final OutputRegions lowLatencyOutputs;
  private final Unmask unmask;
  private final List<PendingResult> open = new ArrayList<>();

  CpuBuffer(ProcessGroup group, BufferOptions options, WindowLayout layout, SharedWindow window) {
    this.window = window;
    this.context = new RankContext(group.rank(), options, layout, window, group.size());
    int normalOutputs = layout.normalOutputs();
    this.outputs = new OutputRegions(context, context.outputs, 0, normalOutputs, layout.isArena());
    this.lowLatencyOutputs =
        new OutputRegions(
            context, context.lowLatencyOutputs, normalOutputs, layout.lowLatencyRegions(), false);
    this.dispatcher = new NormalDispatcher(context);
    this.combiner = new NormalCombiner(context, outputs);
    this.lowLatencyDispatcher = new LowLatencyDispatcher(context);
    this.lowLatencyCombiner = new LowLatencyCombiner(context, lowLatencyOutputs);
    this.unmask = new Unmask(new CpuMember(context));
    context.credits.start();
  }

  @Override
  public DispatchLayout dispatchLayout(Tensor topkIdx) {
    int numExperts = context.options.numExperts();
    RoutingPlan plan = RoutingPlan.perRank(topkIdx, numExperts, context.numRanks);
    if (plan.refusal != null) {
      throw new EpException(
          EpException.Code.REFUSED,
          context.rank,
          "dispatchLayout",
          plan.refusal.describe(context.rank, numExperts));
    }
    byte[] inRank = new byte[plan.ordinals.length];
    int[] tokensPerNode = new int[context.topology.numNodes()];
    for (int token = 0; token < plan.numTokens; token++) {
      int lastNode = -1;
      for (int rank = 0; rank < context.numRanks; rank++) {
        int cell = token * context.numRanks + rank;
        inRank[cell] = (byte) (plan.ordinals[cell] >= 0 ? 1 : 0);
        int node = context.topology.nodeOf(rank);
        if (inRank[cell] == 1 && node != lastNode) {
          tokensPerNode[node]++;
          lastNode = node;
        }
      }
    }
    return new DispatchLayout(
        Tensor.copyOf(plan.tokensPerRank, context.numRanks),
        Tensor.copyOf(tokensPerNode, tokensPerNode.length),
        Tensor.copyOf(plan.tokensPerExpert, numExperts),
        Tensor.copyOf(
            io.github.deepep4j.tensor.DType.UINT8, inRank, plan.numTokens, context.numRanks));
  }

  @Override
  public BackendDispatch dispatch(Requests.Dispatch request) {
    return opened("dispatch", () -> dispatcher.dispatch(request));
  }

  @Override
  public BackendDispatch dispatch(Requests.CachedDispatch request) {
    return opened("cached dispatch", () -> dispatcher.dispatch(request));
  }

  @Override
  public BackendCombine combine(Requests.Combine request) {
    return opened("combine", () -> combiner.combine(request));
  }

  @Override
  public Tensor combineInput(BackendHandle handle, @Nullable Stream stream) {
    context.checkUsable("combineInput");
    return combiner.input((CpuHandle) handle);
  }

  @Override
  public BackendLowLatencyDispatch lowLatencyDispatch(Requests.LowLatencyDispatch request) {
    return opened("lowLatencyDispatch", () -> lowLatencyDispatcher.dispatch(request));
  }

  @Override
  public BackendCombine lowLatencyCombine(Requests.LowLatencyCombine request) {
    receiveDispatchOf(request.handle());
    return opened("lowLatencyCombine", () -> lowLatencyCombiner.combine(request));
  }

  @Override
  public Tensor lowLatencyCombineInput(BackendHandle handle, @Nullable Stream stream) {
    context.checkUsable("lowLatencyCombineInput");
    return lowLatencyCombiner.input((CpuLowLatencyHandle) handle);
  }

  /** A low-latency combine needs the counts that its dispatch receives. */
  private void receiveDispatchOf(BackendHandle handle) {
    for (PendingResult pending : List.copyOf(open)) {
      if (pending instanceof PendingLowLatencyDispatch dispatch && dispatch.handle() == handle) {
        dispatch.receive();
      }
    }
  }

  /** Runs one collective call and remembers its result until it is closed. */
  private <T extends PendingResult> T opened(String operation, Supplier<T> call) {
    context.checkUsable(operation);
    open.removeIf(PendingResult::isClosed);
    T result = call.get();
    open.add(result);
    return result;
  }

  @Override
  public void mask(int rank) {
    if (rank == context.rank) {
      throw new IllegalArgumentException("a rank cannot mask itself: " + rank);
    }
    context.mask(rank);
  }

  @Override
  public void unmask(int rank) {
    context.waits.enter("unmask", context.options.timeout().toNanos());
    context.waits.checkUsable();
    open.removeIf(PendingResult::isClosed);
    if (rank == context.rank && !open.isEmpty()) {
      throw new IllegalStateException("unmask of this rank with open results: " + describeOpen());
    }
    if (rank != context.rank) {
      context.waits.checkMaskedHere();
    }
    // A result that is received later would wait for the returning rank, which was not in its call.
    for (PendingResult pending : open) {
      pending.receive();
    }
    unmask.run(rank);
  }

  private String describeOpen() {
    return String.join(", ", open.stream().map(PendingResult::describe).toList());
  }

  @Override
  public Set<Integer> maskedRanks() {
    return context.peers.maskedRanks();
  }

  @Override
  public void check() {
    context.checkUsable("check");
  }

  @Override
  public void warmUp() {
    // Replacing 0 by 0 touches a page for writing and can't undo what a peer writes meanwhile.
    long end = context.windowLayout.bytes() & -PAGE_BYTES;
    for (long offset = 0; offset < end; offset += PAGE_BYTES) {
      OffHeap.compareAndSetLong(context.peers.own(offset), 0, 0);
    }
  }

  @Override
  public Stream stream() {
    return Stream.cpu();
  }

  @Override
  public Statistics statistics() {
    open.removeIf(PendingResult::isClosed);
    return new Statistics(
        context.traffic.normal.snapshot(),
        context.traffic.lowLatency.snapshot(),
        context.traffic.network.snapshot(),
        context.windowLayout.bytes(),
        open.size(),
        context.openHandles(),
        context.regions.draining(),
        0);
  }

  @Override
  public void close() {
    context.peers.leave(Peers.LEFT_CLOSED);
    // Their memory goes with the buffer, so the tensors of open results have to be refused.
    open.forEach(PendingResult::discard);
    context.end();
    window.close();
  }
}
