package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.DeviceMemory;
import io.github.deepep4j.DispatchLayout;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.LayoutCall;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;

/**
 * Counts of a routing. The device counts; the host reads the routing, too, because a bad one is
 * refused by name before the call returns, and counts the tokens of the one node that there is.
 */
final class CudaLayout implements AutoCloseable {
  private final CudaRank rank;
  private final LayoutCall call = new LayoutCall();

  CudaLayout(CudaRank rank) {
    this.rank = rank;
  }

  /** What {@code Buffer.dispatchLayout} promises. */
  DispatchLayout of(Tensor topkIdx) {
    int numTokens = (int) topkIdx.size(0);
    int tokensOfNode = checkedTokens(topkIdx);
    Tensor perRank = DeviceMemory.allocate(rank.device, DType.INT32, rank.numRanks);
    Tensor perExpert = DeviceMemory.allocate(rank.device, DType.INT32, rank.options.numExperts());
    Tensor inRank = DeviceMemory.allocate(rank.device, DType.UINT8, numTokens, rank.numRanks);
    call.reset();
    call.putLong(LayoutCall.TOPK_IDX, topkIdx.address());
    call.putLong(LayoutCall.TOKENS_PER_RANK, perRank.address());
    call.putLong(LayoutCall.TOKENS_PER_EXPERT, perExpert.address());
    call.putLong(LayoutCall.IS_TOKEN_IN_RANK, inRank.address());
    call.putInt(LayoutCall.NUM_TOKENS, numTokens);
    call.putInt(LayoutCall.NUM_TOPK, (int) topkIdx.size(1));
    call.putInt(LayoutCall.INDEX_BYTES, topkIdx.dtype().bytes());
    long stream = rank.streams.enter(null, null);
    rank.require(Ep4jNative.layout(rank.buffer, call.address(), stream), "dispatchLayout");
    long mark = rank.streams.leave(stream);
    new CudaEvent(rank, mark, "dispatchLayout").synchronize();
    try (Tensor node = Tensor.copyOf(new int[] {tokensOfNode}, 1)) {
      return new DispatchLayout(perRank, DeviceMemory.copyOf(node, rank.device), perExpert, inRank);
    }
  }

  /** Tokens with any choice; throws what is wrong with the routing. */
  private int checkedTokens(Tensor topkIdx) {
    try (Tensor host = DeviceMemory.toHost(topkIdx)) {
      int numTopk = (int) host.size(1);
      long[] experts = new long[(int) host.numElements()];
      if (host.dtype() == DType.INT64) {
        System.arraycopy(host.toLongs(), 0, experts, 0, experts.length);
      } else {
        int[] narrow = host.toInts();
        for (int i = 0; i < experts.length; i++) {
          experts[i] = narrow[i];
        }
      }
      return countTokens(experts, numTopk);
    }
  }

  private int countTokens(long[] experts, int numTopk) {
    int[] lastToken = new int[rank.options.numExperts()];
    int tokens = 0;
    int lastCounted = -1;
    for (int i = 0; i < experts.length; i++) {
      long expert = experts[i];
      int token = i / numTopk;
      if (expert < -1 || expert >= lastToken.length) {
        throw rank.faults.refused(rank.rank, Abi.ROUTING_OUT_OF_RANGE, token, expert);
      }
      if (expert >= 0) {
        if (lastToken[(int) expert] == token + 1) {
          throw rank.faults.refused(rank.rank, Abi.ROUTING_TWICE, token, expert);
        }
        lastToken[(int) expert] = token + 1;
        tokens += token == lastCounted ? 0 : 1;
        lastCounted = token;
      }
    }
    return tokens;
  }

  @Override
  public void close() {
    call.close();
  }
}
