package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.DispatchLayout;
import io.github.deepep4j.Statistics;
import io.github.deepep4j.Stream;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpMaskedException;
import io.github.deepep4j.internal.backend.BackendBuffer;
import io.github.deepep4j.internal.backend.BackendCombine;
import io.github.deepep4j.internal.backend.BackendDispatch;
import io.github.deepep4j.internal.backend.BackendHandle;
import io.github.deepep4j.internal.backend.BackendLowLatencyDispatch;
import io.github.deepep4j.internal.backend.PendingResult;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.internal.backend.Unmask;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/** One rank's end of a buffer on a GPU. Ties the operations to the shared state. */
final class CudaBuffer implements BackendBuffer {
  private static final System.Logger LOG = System.getLogger("io.github.deepep4j");

  private final CudaRank rank;
  private final Peers peers;
  private final long windowBytes;
  private final CudaStanding standing;
  private final FreeRegions freeRegions;
  private final CudaMember member;
  private final Unmask unmask;
  private final List<PendingResult> open = new ArrayList<>();
  private final CudaDispatcher dispatcher;
  private final CudaCombiner combiner;
  private final @Nullable CudaLowLatency lowLatency;
  private final CudaLayout layout;

  /**
   * Makes a connected buffer usable.
   *
   * @param rank the shared state
   * @param peers who reach the window
   * @param windowBytes memory that peers can reach
   */
  CudaBuffer(CudaRank rank, Peers peers, long windowBytes) {
    this.rank = rank;
    this.peers = peers;
    this.windowBytes = windowBytes;
    this.standing = new CudaStanding(rank);
    this.freeRegions = new FreeRegions(rank, peers, standing);
    this.member = new CudaMember(rank, peers, standing);
    this.unmask = new Unmask(member);
    this.dispatcher = new CudaDispatcher(rank, freeRegions);
    this.combiner = new CudaCombiner(rank);
    this.lowLatency = rank.options.isLowLatency() ? new CudaLowLatency(rank) : null;
    this.layout = new CudaLayout(rank);
  }

  @Override
  public DispatchLayout dispatchLayout(Tensor topkIdx) {
    rank.faults.check("dispatchLayout");
    return layout.of(topkIdx);
  }

  @Override
  public BackendDispatch dispatch(Requests.Dispatch request) {
    rank.faults.check("dispatch");
    return opened(dispatcher.dispatch(request));
  }

  @Override
  public BackendDispatch dispatch(Requests.CachedDispatch request) {
    rank.faults.check("cached dispatch");
    return opened(dispatcher.dispatch(request));
  }

  /** Remembers a result until it is closed. */
  private <T extends PendingResult> T opened(T result) {
    open.removeIf(PendingResult::isClosed);
    open.add(result);
    return result;
  }

  @Override
  public BackendCombine combine(Requests.Combine request) {
    rank.faults.check("combine");
    return opened(combiner.combine(request));
  }

  @Override
  public Tensor combineInput(BackendHandle handle, @Nullable Stream stream) {
    rank.faults.check("combineInput");
    return combiner.input((CudaHandle) handle, stream);
  }

  @Override
  public BackendLowLatencyDispatch lowLatencyDispatch(Requests.LowLatencyDispatch request) {
    rank.faults.check(CudaLowLatencyDispatcher.OPERATION);
    return opened(lowLatency().dispatch(request));
  }

  @Override
  public BackendCombine lowLatencyCombine(Requests.LowLatencyCombine request) {
    rank.faults.check(CudaLowLatencyCombiner.OPERATION);
    return opened(lowLatency().combine(request));
  }

  @Override
  public Tensor lowLatencyCombineInput(BackendHandle handle, @Nullable Stream stream) {
    rank.faults.check("lowLatencyCombineInput");
    return lowLatency().combineInput(handle, stream);
  }

  private CudaLowLatency lowLatency() {
    return Objects.requireNonNull(lowLatency, "the rules refuse the call on other buffers");
  }

  @Override
  public void mask(int peer) {
    if (peer == rank.rank) {
      throw new IllegalArgumentException("a rank cannot mask itself: " + peer);
    }
    rank.require(Ep4jNative.mask(rank.buffer, peer), "mask");
  }

  @Override
  public void unmask(int peer) {
    rank.faults.checkUsable();
    open.removeIf(PendingResult::isClosed);
    if (peer == rank.rank && !open.isEmpty()) {
      throw new IllegalStateException(
          "unmask of this rank with open results: "
              + String.join(", ", open.stream().map(PendingResult::describe).toList()));
    }
    // A result that is received later would wait for the returning rank, which was not in its call.
    open.forEach(PendingResult::receive);
    member.settle();
    rank.faults.checkUsable();
    if (peer != rank.rank && standing.maskedBy() >= 0) {
      throw new EpMaskedException(rank.rank, "unmask", rank.rank, standing.maskedBy());
    }
    unmask.run(peer);
  }

  @Override
  public Set<Integer> maskedRanks() {
    int bits = rank.maskedBits();
    Set<Integer> masked = new TreeSet<>();
    for (int peer = 0; peer < rank.numRanks; peer++) {
      if ((bits >>> peer & 1) != 0) {
        masked.add(peer);
      }
    }
    return Set.copyOf(masked);
  }

  @Override
  public void check() {
    rank.faults.check("check");
    if (standing.glance("check") && standing.maskedBy() >= 0) {
      throw new EpMaskedException(rank.rank, "check", rank.rank, standing.maskedBy());
    }
  }

  @Override
  public void warmUp() {
    // Kernels are loaded when the buffer is made; what is left is the memory pool of the results.
    long stream = rank.streams.enter(null, null);
    long bytes = 2L * rank.options.maxTokensPerRank() * rank.options.hidden();
    rank.free(rank.allocate(bytes, stream), stream);
    new CudaEvent(rank, rank.streams.leave(stream), "warmUp", 0).synchronize();
  }

  @Override
  public Stream stream() {
    return new Stream(rank.device, rank.streams.handle(null));
  }

  @Override
  public Statistics statistics() {
    freeRegions.look("statistics");
    return new Statistics(
        standing.traffic(),
        standing.lowLatencyTraffic(),
        standing.network("statistics"),
        windowBytes,
        rank.openResults,
        rank.handles.taken(),
        standing.quarantinedRegions(),
        peers.abandonedBytes());
  }

  @Override
  public void close() {
    try {
      freeRegions.forgetGone("close");
    } catch (EpException e) {
      LOG.log(System.Logger.Level.WARNING, "rank " + rank.rank + " closes", e);
    }
    // Bounded by the deadlines of the device's waits.
    if (Ep4jNative.bufferDisconnect(rank.buffer) != Abi.OK) {
      LOG.log(
          System.Logger.Level.WARNING,
          "rank {0}: {1} on disconnecting: {2}",
          rank.rank,
          EpException.Code.DEVICE,
          Ep4jNative.lastError());
    }
    dispatcher.close();
    combiner.close();
    if (lowLatency != null) {
      lowLatency.close();
    }
    layout.close();
    standing.close();
    member.close();
    rank.close();
    peers.close();
  }
}
