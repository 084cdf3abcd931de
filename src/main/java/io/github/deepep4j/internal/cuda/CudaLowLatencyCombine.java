package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.BackendCombine;
import io.github.deepep4j.internal.cuda.binding.LowLatencyNative;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** A low-latency combine: its receiving half, if it has a hook, and its result. */
final class CudaLowLatencyCombine extends CudaResult implements BackendCombine {
  /**
   * Where a combine runs and what it sums.
   *
   * @param ordinal its number
   * @param handle the dispatch's record
   * @param output region of this rank's own expert outputs
   * @param numSms asked for; 0 for as many as there may be
   * @param stream of both halves
   */
  record Call(long ordinal, CudaLowLatencyHandle handle, int output, int numSms, long stream) {}

  private final OutputSlots outputs;
  private final Call call;
  private final LowLatencyCombineOptions options;
  private final Tensor combined;

  /** Memory of the result; 0 if the caller's tensor takes it. */
  private final long block;

  /**
   * Makes the result of a call that is about to be issued, and takes its memory.
   *
   * @param rank this rank
   * @param outputs that the call's is one of
   * @param call where it runs
   * @param options the call's options
   */
  CudaLowLatencyCombine(
      CudaRank rank, OutputSlots outputs, Call call, LowLatencyCombineOptions options) {
    super(rank);
    this.outputs = outputs;
    this.call = call;
    this.options = options;
    int numTokens = call.handle().numTokens();
    int hidden = call.handle().hidden();
    Tensor into = options.into();
    block = into == null ? rank.allocate(2L * numTokens * hidden, call.stream()) : 0;
    combined = into == null ? rank.tensor(block, DType.BF16, this, numTokens, hidden) : into;
    rank.openResults++;
    call.handle().dispatch().await(this);
  }

  /** Where the sums go. */
  long out() {
    return into() == null ? block : combined.address();
  }

  private @Nullable Tensor into() {
    return options.into();
  }

  /** The call was issued; without a hook both halves were. */
  void entered() {
    mark = rank.streams.lastEnd();
    if (!options.isHook()) {
      endReceive();
    }
  }

  private void endReceive() {
    received = true;
    outputs.give(call.output());
    call.handle().dispatch().forget(this);
  }

  @Override
  public void receive() {
    if (received) {
      return;
    }
    require(
        LowLatencyNative.combineReceive(
            rank.buffer,
            call.output(),
            rank.lowLatencyReceiveSms(call.numSms()),
            rank.timeoutNanos(options),
            call.stream()),
        "receive of ");
    endReceive();
    mark = rank.streams.lastEnd();
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
      outputs.give(call.output());
      call.handle().dispatch().forget(this);
    }
    if (block != 0) {
      rank.free(block, readers);
    }
  }

  @Override
  String operation() {
    return CudaLowLatencyCombiner.OPERATION;
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
    return null;
  }
}
