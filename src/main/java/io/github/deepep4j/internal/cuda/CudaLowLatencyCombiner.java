package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.internal.cuda.binding.LowLatencyCombineCall;
import io.github.deepep4j.internal.cuda.binding.LowLatencyNative;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** Issues low-latency combines, and hands out memory for their rows. */
final class CudaLowLatencyCombiner implements AutoCloseable {
  static final String OPERATION = "lowLatencyCombine";

  private final CudaRank rank;
  private final OutputSlots outputs;
  private final LowLatencyCombineCall call = new LowLatencyCombineCall();

  CudaLowLatencyCombiner(CudaRank rank, OutputSlots outputs) {
    this.rank = rank;
    this.outputs = outputs;
  }

  /** Memory for the next combine's rows. */
  Tensor input(CudaLowLatencyHandle handle, @Nullable Stream stream) {
    String holder = "input for the lowLatencyCombine of " + handle.describe();
    outputs.requireFree(holder);
    outputs.receiveOverdue();
    int output = outputs.take(holder);
    boolean done = false;
    try {
      long writer = rank.streams.enter(stream, null);
      rank.require(
          LowLatencyNative.combineInput(
              rank.buffer, output, rank.options.timeout().toNanos(), rank.word(), writer),
          "lowLatencyCombineInput");
      Tensor tensor =
          rank.tensor(
              OffHeap.getLong(rank.word()),
              DType.BF16,
              handle.dispatch(),
              rank.localExperts,
              handle.resultRows() / rank.localExperts,
              handle.hidden());
      outputs.handOut(output, tensor.address(), tensor.byteSize(), handle);
      done = true;
      return tensor;
    } finally {
      if (!done) {
        outputs.give(output);
      }
    }
  }

  private static String holder(long ordinal) {
    return OPERATION + " #" + ordinal;
  }

  /** The sending half, and the rest too unless the call has a hook. */
  CudaLowLatencyCombine combine(Requests.LowLatencyCombine request) {
    LowLatencyCombineOptions options = request.options();
    CudaLowLatencyHandle handle = (CudaLowLatencyHandle) request.handle();
    Tensor y = request.y();
    int numSms = rank.lowLatencySms(options.numSms());
    long ordinal = rank.nextCall();
    handle.dispatch().receive(); // what came decides which rows are sent
    int output = outputs.reclaim(y.address(), y.byteSize(), handle);
    if (output < 0) {
      outputs.requireFree(holder(ordinal));
    }
    CudaLowLatencyCombine pending = null;
    boolean done = false;
    try {
      outputs.receiveOverdue();
      if (output < 0) {
        output = outputs.take(holder(ordinal));
      }
      long stream = rank.streams.enter(options.stream(), options.previousEvent());
      pending =
          new CudaLowLatencyCombine(
              rank,
              outputs,
              new CudaLowLatencyCombine.Call(ordinal, handle, output, numSms, stream),
              options);
      fill(request, handle, pending, output, numSms);
      rank.require(LowLatencyNative.combine(rank.buffer, call.address(), stream), OPERATION);
      rank.entered(OPERATION);
      outputs.entered(output, pending);
      pending.entered();
      done = true;
      return pending;
    } finally {
      if (!done) {
        giveBack(pending, output);
      }
    }
  }

  private void giveBack(@Nullable CudaLowLatencyCombine pending, int output) {
    if (pending != null) {
      pending.discard();
    } else if (output >= 0) {
      outputs.give(output);
    }
  }

  private void fill(
      Requests.LowLatencyCombine request,
      CudaLowLatencyHandle handle,
      CudaLowLatencyCombine pending,
      int output,
      int numSms) {
    LowLatencyCombineOptions options = request.options();
    call.reset();
    call.putLong(LowLatencyCombineCall.Y, request.y().address());
    call.putLong(LowLatencyCombineCall.TOPK_WEIGHTS, request.topkWeights().address());
    call.putLong(LowLatencyCombineCall.OUT, pending.out());
    call.putInt(LowLatencyCombineCall.REGION, handle.dispatch().region());
    call.putInt(LowLatencyCombineCall.OUTPUT, output);
    call.putInt(LowLatencyCombineCall.LOG_FMT, options.isLogFmt() ? 1 : 0);
    call.putInt(LowLatencyCombineCall.NUM_SMS, numSms);
    call.putInt(LowLatencyCombineCall.HOOK, options.isHook() ? 1 : 0);
    call.putLong(LowLatencyCombineCall.TIMEOUT_NANOS, rank.timeoutNanos(options));
  }

  @Override
  public void close() {
    call.close();
  }
}
