package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.internal.cuda.binding.CombineCall;
import io.github.deepep4j.internal.cuda.binding.CombineReceiveCall;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** Issues normal-mode combines, and hands out memory for their rows. */
final class CudaCombiner implements AutoCloseable {
  private static final long ALIGNMENT = 16;

  private final CudaRank rank;
  private final CombineCall call = new CombineCall();
  private final CombineReceiveCall receiveCall = new CombineReceiveCall();

  CudaCombiner(CudaRank rank) {
    this.rank = rank;
  }

  /** Memory for the next combine's rows. */
  Tensor input(CudaHandle handle, @Nullable Stream stream) {
    int rows = handle.resultRows();
    int hidden = handle.hidden();
    String holder = "input for the combine of " + handle.describe();
    rank.outputs.requireFree(holder);
    rank.outputs.receiveOverdue();
    int output = rank.outputs.take(holder);
    boolean done = false;
    try {
      // Room for weights, whether or not the combine has any.
      place(output, rows, hidden, weightsPerRow(handle));
      long writer = rank.streams.enter(stream, null);
      rank.require(
          Ep4jNative.combineInput(
              rank.buffer,
              output,
              rows,
              hidden,
              rank.options.timeout().toNanos(),
              rank.word(),
              writer),
          "combineInput");
      Tensor tensor = rank.tensor(OffHeap.getLong(rank.word()), DType.BF16, handle, rows, hidden);
      rank.outputs.handOut(output, tensor.address(), tensor.byteSize(), handle);
      done = true;
      return tensor;
    } finally {
      if (!done) {
        rank.outputs.give(output);
      }
    }
  }

  private static String holder(long ordinal) {
    return "combine #" + ordinal;
  }

  /** The sending half, and the rest too unless the call has a hook. */
  CudaCombine combine(Requests.Combine request) {
    CombineOptions options = request.options();
    CudaHandle handle = (CudaHandle) request.handle();
    Tensor y = request.y();
    // Before the collective is entered: the receiving half checks them, when it is too late.
    int numSms = rank.numSms(options.numSms(), rank.options.tuning().combineSms());
    requireAligned(options.into(), "into");
    requireAligned(options.bias0(), "bias");
    requireAligned(options.bias1(), "second bias");
    long ordinal = rank.nextCall();
    int output = rank.outputs.reclaim(y.address(), y.byteSize(), handle);
    if (output < 0) {
      rank.outputs.requireFree(holder(ordinal));
    }
    CudaCombine pending = null;
    boolean done = false;
    try {
      rank.outputs.receiveOverdue();
      if (output < 0) {
        output = rank.outputs.take(holder(ordinal));
        place(
            output,
            y.size(0),
            (int) y.size(1),
            options.topkWeights() == null ? 0 : weightsPerRow(handle));
      }
      long stream = rank.streams.enter(options.stream(), options.previousEvent());
      pending =
          new CudaCombine(
              rank,
              new CudaCombine.Call(ordinal, handle, output, (int) y.size(1), numSms, stream),
              options,
              receiveCall);
      fill(request, handle, output, numSms);
      rank.require(Ep4jNative.combine(rank.buffer, call.address(), stream), "combine");
      rank.entered();
      rank.outputs.entered(output, pending);
      pending.sent(rank.streams.lastEnd());
      if (!options.isHook()) {
        pending.receive();
      }
      done = true;
      return pending;
    } finally {
      if (!done) {
        giveBack(pending, output);
      }
    }
  }

  /** In an arena gives a taken output its place. */
  private void place(int output, long rows, int hidden, int weightsPerRow) {
    if (rank.outputs.isArena()) {
      rank.require(
          Ep4jNative.outputBytes(rows, hidden, weightsPerRow, rank.word()), "sizing an output");
      CudaArena.Place place = rank.outputs.place(output, OffHeap.getLong(rank.word()));
      rank.require(
          Ep4jNative.outputPlace(rank.buffer, output, place.offset(), place.bytes()),
          "placing an output");
    }
  }

  private static int weightsPerRow(CudaHandle handle) {
    return handle.rankMajor() ? handle.numTopk() : 1;
  }

  private static void requireAligned(@Nullable Tensor tensor, String name) {
    if (tensor != null && tensor.address() % ALIGNMENT != 0) {
      throw new IllegalArgumentException(
          name + " must be aligned to " + ALIGNMENT + " bytes on CUDA: " + tensor);
    }
  }

  private void giveBack(@Nullable CudaCombine pending, int output) {
    if (pending != null) {
      pending.discard();
    } else if (output >= 0) {
      rank.outputs.give(output);
    }
  }

  private void fill(Requests.Combine request, CudaHandle handle, int output, int numSms) {
    CombineOptions options = request.options();
    Tensor weights = options.topkWeights();
    call.reset();
    call.putLong(CombineCall.Y, request.y().address());
    call.putLong(CombineCall.TOPK_WEIGHTS, weights == null ? 0 : weights.address());
    call.putInt(CombineCall.HANDLE, handle.slot);
    call.putInt(CombineCall.OUTPUT, output);
    call.putInt(CombineCall.ROWS, (int) request.y().size(0));
    call.putInt(CombineCall.HIDDEN, (int) request.y().size(1));
    call.putInt(CombineCall.WEIGHTED, options.isWeighted() ? 1 : 0);
    call.putInt(CombineCall.NUM_SMS, numSms);
    call.putLong(CombineCall.TIMEOUT_NANOS, rank.timeoutNanos(options));
    call.putInt(CombineCall.RECEIVE_FOLLOWS, options.isHook() ? 0 : 1);
  }

  @Override
  public void close() {
    call.close();
    receiveCall.close();
  }
}
