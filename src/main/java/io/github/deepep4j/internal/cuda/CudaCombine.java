package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.BackendCombine;
import io.github.deepep4j.internal.cuda.binding.CombineReceiveCall;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** A normal-mode combine whose outputs are published: its receiving half and its result. */
final class CudaCombine extends CudaResult implements BackendCombine {
  /**
   * Where a combine runs and what it sums.
   *
   * @param ordinal its number
   * @param handle the dispatch's record
   * @param output region of this rank's own outputs
   * @param hidden H
   * @param numSms of the summing kernel
   * @param stream of both halves
   */
  record Call(long ordinal, CudaHandle handle, int output, int hidden, int numSms, long stream) {}

  private static final long GRAIN = 256;

  private final Call call;
  private final CombineOptions options;
  private final CombineReceiveCall receiveCall;
  private final Tensor combined;
  private final @Nullable Tensor weights;

  /** Memory of the result; 0 if the caller's tensor takes all of it. */
  private final long block;

  /**
   * Makes the pending result and takes its memory.
   *
   * @param rank this rank
   * @param call where it runs
   * @param options the call's options
   * @param receiveCall struct of the receiving half, shared by the buffer's combines
   */
  CudaCombine(CudaRank rank, Call call, CombineOptions options, CombineReceiveCall receiveCall) {
    super(rank);
    this.call = call;
    this.options = options;
    this.receiveCall = receiveCall;
    int numTokens = call.handle().numTokens();
    int numTopk = call.handle().numTopk();
    Tensor into = options.into();
    boolean hasWeights = options.topkWeights() != null;
    long rowBytes = into == null ? grains(2L * numTokens * call.hidden()) : 0;
    long weightBytes = hasWeights ? grains(4L * numTokens * numTopk) : 0;
    block = rowBytes + weightBytes == 0 ? 0 : rank.allocate(rowBytes + weightBytes, call.stream());
    combined = into == null ? rank.tensor(block, DType.BF16, this, numTokens, call.hidden()) : into;
    weights =
        hasWeights ? rank.tensor(block + rowBytes, DType.FLOAT32, this, numTokens, numTopk) : null;
    call.handle().retain();
    rank.openResults++;
  }

  private static long grains(long bytes) {
    return Math.max(1, (bytes + GRAIN - 1) / GRAIN) * GRAIN;
  }

  /** The sending half was issued. */
  void sent(long sendMark) {
    mark = sendMark;
  }

  @Override
  public void receive() {
    if (received) {
      return;
    }
    long stream = call.stream();
    fill();
    require(Ep4jNative.combineReceive(rank.buffer, receiveCall.address(), stream), "receive of ");
    received = true;
    call.handle().release();
    rank.outputs.give(call.output());
    mark = rank.streams.lastEnd();
  }

  private void fill() {
    Tensor bias0 = options.bias0();
    Tensor bias1 = options.bias1();
    receiveCall.reset();
    receiveCall.putLong(CombineReceiveCall.OUT, combined.address());
    receiveCall.putLong(CombineReceiveCall.OUT_WEIGHTS, weights == null ? 0 : weights.address());
    receiveCall.putLong(CombineReceiveCall.BIAS0, bias0 == null ? 0 : bias0.address());
    receiveCall.putLong(CombineReceiveCall.BIAS1, bias1 == null ? 0 : bias1.address());
    receiveCall.putInt(CombineReceiveCall.HANDLE, call.handle().slot);
    receiveCall.putInt(CombineReceiveCall.OUTPUT, call.output());
    receiveCall.putInt(CombineReceiveCall.HIDDEN, call.hidden());
    receiveCall.putInt(CombineReceiveCall.WEIGHTED, options.isWeighted() ? 1 : 0);
    receiveCall.putInt(CombineReceiveCall.NUM_SMS, call.numSms());
    receiveCall.putLong(CombineReceiveCall.TIMEOUT_NANOS, rank.timeoutNanos(options));
  }

  @Override
  public void close(@Nullable Stream stream) {
    if (closed) {
      return;
    }
    long readers = readers(stream);
    try {
      if (!rank.faults.hasFailed()) {
        receive();
      }
    } finally {
      orderAfterCall(readers);
      giveBack(readers);
    }
  }

  @Override
  public void discard() {
    if (!closed) {
      giveBack(call.stream());
    }
  }

  private void giveBack(long readers) {
    closed = true;
    rank.openResults--;
    if (!received) {
      call.handle().release();
      rank.outputs.give(call.output());
    }
    if (block != 0) {
      rank.free(block, readers);
    }
  }

  @Override
  String operation() {
    return "combine";
  }

  @Override
  long ordinal() {
    return call.ordinal();
  }

  @Override
  long stream() {
    return call.stream();
  }

  @Override
  public Tensor combined() {
    checkDelivered();
    return combined;
  }

  @Override
  public @Nullable Tensor topkWeights() {
    return weights;
  }
}
