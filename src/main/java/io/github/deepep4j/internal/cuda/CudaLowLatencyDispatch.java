package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.BackendHandle;
import io.github.deepep4j.internal.backend.BackendLowLatencyDispatch;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.LowLatencyAddresses;
import io.github.deepep4j.internal.cuda.binding.LowLatencyNative;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** A low-latency dispatch whose sends are issued: its receiving half and its result. */
final class CudaLowLatencyDispatch extends CudaResult implements BackendLowLatencyDispatch {
  /** Where each tensor's address is, in the order of {@link #makeTensors}. */
  static final int[] PLACE_MEMBERS = {
    LowLatencyAddresses.X,
    LowLatencyAddresses.SCALES,
    LowLatencyAddresses.COUNT,
    LowLatencyAddresses.SOURCE_INFO,
    LowLatencyAddresses.LAYOUT_RANGE
  };

  private static final int X = 0;
  private static final int SCALES = 1;
  private static final int COUNT = 2;
  private static final int SOURCE_INFO = 3;
  private static final int LAYOUT_RANGE = 4;
  private static final int FP8_GROUP = 128;

  /**
   * Where a dispatch runs and delivers to.
   *
   * @param ordinal its number
   * @param region that receives
   * @param numSms asked for; 0 for as many as there may be
   * @param stream of both halves
   */
  record Call(long ordinal, int region, int numSms, long stream) {}

  private final LowLatencyRegions regions;
  private final OutputSlots outputs;
  private final Call call;
  private final LowLatencyDispatchOptions options;
  private final CudaLowLatencyHandle handle;
  private final long[] places;
  private @Nullable Tensors tensors;

  /** Combines that read what lies beside the region when they are received. */
  private final List<CudaLowLatencyCombine> combines = new ArrayList<>(2);

  /**
   * Makes the result of an issued call.
   *
   * @param rank this rank
   * @param regions that the result's is one of
   * @param outputs for its combines
   * @param call where it runs
   * @param request what was asked for
   * @param places of the tensors, as long as the region is this result's
   */
  CudaLowLatencyDispatch(
      CudaRank rank,
      LowLatencyRegions regions,
      OutputSlots outputs,
      Call call,
      Requests.LowLatencyDispatch request,
      long[] places) {
    super(rank);
    this.regions = regions;
    this.outputs = outputs;
    this.call = call;
    this.options = request.options();
    this.places = places;
    this.handle =
        new CudaLowLatencyHandle(
            this,
            (int) request.x().size(0),
            (int) request.topkIdx().size(1),
            rank.options.hidden(),
            (int) (rank.localExperts * rowsPerExpert()));
    this.received = !options.isHook();
    this.mark = rank.streams.lastEnd();
    rank.openResults++;
  }

  private long rowsPerExpert() {
    return (long) rank.numRanks * rank.options.maxTokensPerRank();
  }

  private Tensors makeTensors() {
    long experts = rank.localExperts;
    long rows = rowsPerExpert();
    int hidden = rank.options.hidden();
    Quantization cast = options.quantization();
    Tensor scales = null;
    if (cast != null) {
      boolean packed = cast == Quantization.UE8M0;
      long groups = hidden / FP8_GROUP;
      long words = packed ? (groups + 3) / 4 : groups;
      scales =
          tensor(places[SCALES], packed ? DType.INT32 : DType.FLOAT32, experts, words, rows)
              .view(new long[] {experts, rows, words}, new long[] {words * rows, 1, rows});
    }
    return new Tensors(
        tensor(places[X], cast == null ? DType.BF16 : DType.FP8_E4M3, experts, rows, hidden),
        scales,
        tensor(places[COUNT], DType.INT32, experts),
        tensor(places[SOURCE_INFO], DType.INT32, experts, rows),
        tensor(places[LAYOUT_RANGE], DType.INT64, experts, rank.numRanks));
  }

  private Tensor tensor(long address, DType dtype, long... shape) {
    return rank.tensor(address, dtype, this, shape);
  }

  int region() {
    return call.region();
  }

  @Override
  public void receive() {
    if (received) {
      return;
    }
    require(
        LowLatencyNative.dispatchReceive(
            rank.buffer,
            call.region(),
            rank.lowLatencyReceiveSms(call.numSms()),
            rank.timeoutNanos(options),
            call.stream()),
        "receive of ");
    received = true;
    mark = rank.streams.lastEnd();
  }

  /** A combine was entered whose receiving half is still to come. */
  void await(CudaLowLatencyCombine combine) {
    combines.add(combine);
  }

  /** That half was issued, or never will be. */
  void forget(CudaLowLatencyCombine combine) {
    if (combines.remove(combine) && closed && combines.isEmpty()) {
      regions.endLingering(this, call.region());
    }
  }

  /** Receives all combines. */
  void receiveCombines() {
    for (CudaLowLatencyCombine combine : List.copyOf(combines)) {
      combine.receive();
    }
  }

  @Override
  public void close(@Nullable Stream stream) {
    if (closed) {
      return;
    }
    try {
      if (!rank.faults.hasFailed()) {
        receive();
      }
    } finally {
      long readers = readers(stream);
      orderAfterCall(readers);
      try {
        if (received) {
          require(LowLatencyNative.release(rank.buffer, call.region(), readers), "close of ");
        }
      } finally {
        end();
      }
    }
  }

  @Override
  public void discard() {
    if (closed) {
      return;
    }
    int status =
        received
            ? Abi.OK
            : LowLatencyNative.dispatchReceive(
                rank.buffer, call.region(), 0, rank.timeoutNanos(options), call.stream());
    if (status == Abi.OK) {
      // A failure is left to the next call: this one has its own to report.
      int ignored = LowLatencyNative.release(rank.buffer, call.region(), call.stream());
    }
    end();
  }

  private void end() {
    closed = true;
    rank.openResults--;
    outputs.discard(handle);
    if (combines.isEmpty()) {
      regions.give(call.region());
    } else {
      regions.linger(this);
    }
  }

  @Override
  String operation() {
    return CudaLowLatencyDispatcher.OPERATION;
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
  public BackendHandle handle() {
    return handle;
  }

  @Override
  public Tensors tensors() {
    checkDelivered();
    if (tensors == null) {
      tensors = makeTensors();
    }
    return tensors;
  }
}
