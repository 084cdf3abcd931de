package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.DeviceMemory;
import io.github.deepep4j.DispatchLayout;
import io.github.deepep4j.internal.backend.Topology;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.LayoutCall;
import io.github.deepep4j.internal.cuda.binding.LayoutVerdict;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;

/**
 * Counts of a routing, by one kernel, which also checks it. A bad one is refused by name before the
 * call returns, so the host waits for the kernel and what is before it in the buffer's sequence.
 */
final class CudaLayout implements AutoCloseable {
  private final CudaRank rank;
  private final LayoutCall call = new LayoutCall();
  private final LayoutVerdict verdict = new LayoutVerdict();
  private long tickets;

  CudaLayout(CudaRank rank) {
    this.rank = rank;
  }

  /** What {@code Buffer.dispatchLayout} promises. */
  DispatchLayout of(Tensor topkIdx) {
    DispatchLayout counts =
        new DispatchLayout(
            tensor(DType.INT32, rank.numRanks),
            tensor(DType.INT32, Topology.of(rank.options, rank.numRanks).numNodes()),
            tensor(DType.INT32, rank.options.numExperts()),
            tensor(DType.UINT8, topkIdx.size(0), rank.numRanks));
    boolean done = false;
    try {
      count(topkIdx, counts);
      done = true;
      return counts;
    } finally {
      if (!done) {
        counts.close();
      }
    }
  }

  private Tensor tensor(DType dtype, long... shape) {
    return DeviceMemory.allocate(rank.device, dtype, shape);
  }

  private void count(Tensor topkIdx, DispatchLayout counts) {
    long ticket = ++tickets;
    call.reset();
    call.putLong(LayoutCall.TOPK_IDX, topkIdx.address());
    call.putLong(LayoutCall.TOKENS_PER_RANK, counts.numTokensPerRank().address());
    call.putLong(LayoutCall.TOKENS_PER_NODE, counts.numTokensPerNode().address());
    call.putLong(LayoutCall.TOKENS_PER_EXPERT, counts.numTokensPerExpert().address());
    call.putLong(LayoutCall.IS_TOKEN_IN_RANK, counts.isTokenInRank().address());
    call.putInt(LayoutCall.NUM_TOKENS, (int) topkIdx.size(0));
    call.putInt(LayoutCall.NUM_TOPK, (int) topkIdx.size(1));
    call.putInt(LayoutCall.INDEX_BYTES, topkIdx.dtype().bytes());
    call.putLong(LayoutCall.TICKET, ticket);
    long stream = rank.streams.enter(null, null);
    rank.require(Ep4jNative.layout(rank.buffer, call.address(), stream), "dispatchLayout");
    long mark = rank.streams.lastEnd();
    new CudaEvent(rank, mark, "dispatchLayout", 0).synchronize();
    verdict.reset();
    int told = Ep4jNative.layoutTold(rank.buffer, ticket, verdict.address());
    if (told == Abi.PENDING) {
      throw new AssertionError("the layout's kernel has ended without telling of ticket " + ticket);
    }
    rank.require(told, "dispatchLayout");
    int rule = verdict.getInt(LayoutVerdict.RULE);
    if (rule != Abi.ROUTING_GOOD) {
      throw rank.faults.refused(
          "dispatchLayout",
          rank.rank,
          rule,
          verdict.getInt(LayoutVerdict.TOKEN),
          verdict.getLong(LayoutVerdict.VALUE));
    }
  }

  @Override
  public void close() {
    call.close();
    verdict.close();
  }
}
