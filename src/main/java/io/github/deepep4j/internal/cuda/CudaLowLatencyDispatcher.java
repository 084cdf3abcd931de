package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.LowLatencyAddresses;
import io.github.deepep4j.internal.cuda.binding.LowLatencyDispatchCall;
import io.github.deepep4j.internal.cuda.binding.LowLatencyNative;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** Issues low-latency dispatches: both halves in one launch, or with a hook the sending half. */
final class CudaLowLatencyDispatcher implements AutoCloseable {
  static final String OPERATION = "lowLatencyDispatch";
  private static final int NO_OUTPUT = -1;

  private final CudaRank rank;
  private final LowLatencyRegions regions;
  private final OutputSlots outputs;
  private final LowLatencyDispatchCall call = new LowLatencyDispatchCall();
  private final LowLatencyAddresses addresses = new LowLatencyAddresses();

  /** Of each region's tensors, by number in {@link CudaLowLatencyDispatch}. */
  private final long[][] places;

  CudaLowLatencyDispatcher(CudaRank rank, LowLatencyRegions regions, OutputSlots outputs) {
    this.rank = rank;
    this.regions = regions;
    this.outputs = outputs;
    this.places =
        new long[rank.options.lowLatencyRegions()][CudaLowLatencyDispatch.PLACE_MEMBERS.length];
  }

  /** Dispatches. */
  CudaLowLatencyDispatch dispatch(Requests.LowLatencyDispatch request) {
    LowLatencyDispatchOptions options = request.options();
    long ordinal = rank.nextCall();
    int numSms = rank.lowLatencySms(options.numSms());
    // On every rank, so that any may have its launch wait for the readers of emptyOutput().
    outputs.receiveOverdue();
    int region = regions.take(OPERATION, ordinal);
    long stream = rank.streams.handle(options.stream());
    boolean issued = false;
    CudaLowLatencyDispatch result = null;
    try {
      fill(request, region, numSms);
      rank.streams.enter(options.stream(), options.previousEvent());
      rank.require(
          LowLatencyNative.dispatch(rank.buffer, call.address(), addresses.address(), stream),
          OPERATION);
      issued = true;
      rank.entered(OPERATION);
      result =
          new CudaLowLatencyDispatch(
              rank,
              regions,
              outputs,
              new CudaLowLatencyDispatch.Call(ordinal, region, numSms, stream),
              request,
              placesOf(region));
      regions.entered(result);
      return result;
    } finally {
      if (result == null) {
        giveBack(region, issued, options, stream);
      }
    }
  }

  private void fill(Requests.LowLatencyDispatch request, int region, int numSms) {
    LowLatencyDispatchOptions options = request.options();
    Tensor topkIdx = request.topkIdx();
    call.reset();
    call.putLong(LowLatencyDispatchCall.X, request.x().address());
    call.putLong(LowLatencyDispatchCall.TOPK_IDX, topkIdx.address());
    call.putLong(LowLatencyDispatchCall.RECEIVE_STATS, address(options.receiveStats()));
    call.putLong(LowLatencyDispatchCall.WAIT_NANOS, address(options.waitNanos()));
    call.putInt(LowLatencyDispatchCall.NUM_TOKENS, (int) request.x().size(0));
    call.putInt(LowLatencyDispatchCall.NUM_TOPK, (int) topkIdx.size(1));
    call.putInt(LowLatencyDispatchCall.INDEX_BYTES, topkIdx.dtype().bytes());
    call.putInt(LowLatencyDispatchCall.CAST, Codes.cast(options.quantization()));
    call.putInt(LowLatencyDispatchCall.REGION, region);
    // A receiving half of its own may come after other combines, and then wait for their readers.
    call.putInt(
        LowLatencyDispatchCall.OUTPUT, options.isHook() ? NO_OUTPUT : outputs.emptyOutput());
    call.putInt(LowLatencyDispatchCall.NUM_SMS, numSms);
    call.putInt(LowLatencyDispatchCall.HOOK, options.isHook() ? 1 : 0);
    call.putLong(LowLatencyDispatchCall.TIMEOUT_NANOS, rank.timeoutNanos(options));
  }

  /** Kept for each region, which no two results have at once, so that a call makes less garbage. */
  private long[] placesOf(int region) {
    for (int i = 0; i < places[region].length; i++) {
      places[region][i] = addresses.getLong(CudaLowLatencyDispatch.PLACE_MEMBERS[i]);
    }
    return places[region];
  }

  private static long address(@Nullable Tensor tensor) {
    return tensor == null ? 0 : tensor.address();
  }

  /** After a failure: a region that the device knows of has to be taken back from it, too. */
  private void giveBack(
      int region, boolean issued, LowLatencyDispatchOptions options, long stream) {
    int status = Abi.OK;
    if (issued && options.isHook()) {
      status =
          LowLatencyNative.dispatchReceive(
              rank.buffer, region, 0, rank.timeoutNanos(options), stream);
    }
    if (issued && status == Abi.OK) {
      status = LowLatencyNative.release(rank.buffer, region, stream);
    }
    if (status == Abi.OK) {
      regions.give(region);
    }
  }

  @Override
  public void close() {
    call.close();
    addresses.close();
  }
}
