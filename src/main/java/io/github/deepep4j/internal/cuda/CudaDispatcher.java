package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.error.EpCapacityException;
import io.github.deepep4j.internal.backend.BackendHandle;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.internal.cuda.binding.DispatchAddresses;
import io.github.deepep4j.internal.cuda.binding.DispatchCall;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** Issues normal-mode dispatches: the sending half, the host's wait for counts, the result. */
final class CudaDispatcher implements AutoCloseable {
  private static final int FP8_GROUP = 128;
  private static final int[] ADDRESS_MEMBERS = {
    DispatchAddresses.X,
    DispatchAddresses.SCALES,
    DispatchAddresses.TOPK_IDX,
    DispatchAddresses.TOPK_WEIGHTS,
    DispatchAddresses.SOURCE_TOKEN,
    DispatchAddresses.RANK_PREFIX,
    DispatchAddresses.EXPERT_OFFSETS,
    DispatchAddresses.WEIGHT,
    DispatchAddresses.SOURCE_RANK,
    DispatchAddresses.TOPK_SLOT,
    DispatchAddresses.TOKENS_PER_EXPERT,
    DispatchAddresses.NUM_RECEIVED
  };

  private final CudaRank rank;
  private final FreeRegions freeRegions;
  private final HostCounts counts;
  private final RegionSizes regionSizes;
  private final DispatchCall call = new DispatchCall();
  private final DispatchAddresses addresses = new DispatchAddresses();
  private long tickets;

  /** Whether the device knows of the call that is being made. */
  private boolean issued;

  CudaDispatcher(CudaRank rank, FreeRegions freeRegions) {
    this.rank = rank;
    this.freeRegions = freeRegions;
    this.counts = new HostCounts(rank);
    this.regionSizes = new RegionSizes(rank);
  }

  /** Dispatch with routing. */
  CudaDispatch dispatch(Requests.Dispatch request) {
    DispatchOptions options = request.options();
    long ordinal = rank.nextCall();
    int region = freeRegions.take("dispatch", ordinal);
    int handle = -1;
    long stream = rank.streams.handle(options.stream());
    issued = false;
    CudaDispatch result = null;
    try {
      handle = rank.handles.take("dispatch", ordinal);
      fill(request, region, handle);
      rank.streams.enter(options.stream(), options.previousEvent());
      CudaDispatch.Call where = new CudaDispatch.Call("dispatch", ordinal, region, stream);
      result = issue(request, where, handle, form(request));
    } finally {
      if (result == null) {
        giveBack(region, stream);
        if (handle >= 0) {
          rank.handles.give(handle);
        }
      }
    }
    return receiveUnlessHook(result, options, result.handle());
  }

  /** After a failure: a region that the device knows of has to be taken back from it, too. */
  private void giveBack(int region, long stream) {
    if (issued) {
      rank.drop(region, stream, false);
    } else {
      rank.regions.give(region);
    }
  }

  private CudaDispatch issue(
      Requests.Dispatch request, CudaDispatch.Call where, int handle, ResultForm asked) {
    DispatchOptions options = request.options();
    boolean bounded = options.isBounded();
    long ticket = bounded ? 0 : ++tickets;
    boolean placed = place(where.region(), asked, !bounded);
    enter(ticket, where);
    long sendMark = rank.streams.lastEnd();
    if (!placed) {
      throw noPlace(where.region(), asked);
    }
    ResultForm form = bounded ? asked : settle(asked, ticket, where);
    int[] tokensPerExpert = bounded ? null : counts.tokensPerExpert();
    Tensor x = request.x();
    CudaHandle routing =
        new CudaHandle(
            rank,
            handle,
            new CudaHandle.Routing(
                (int) x.size(0),
                form.hidden(),
                form.numTopk(),
                options.rowOrder(),
                form.rows(),
                bounded,
                form.weights()),
            where.ordinal());
    return new CudaDispatch(
        rank,
        where,
        routing,
        options,
        new CudaDispatch.Received(form, copyAddresses(), tokensPerExpert, sendMark));
  }

  /** Issues the sending half. */
  private void enter(long ticket, CudaDispatch.Call where) {
    call.putLong(DispatchCall.TICKET, ticket);
    rank.require(
        Ep4jNative.dispatch(rank.buffer, call.address(), addresses.address(), where.stream()),
        where.operation());
    issued = true;
    rank.entered();
  }

  /** Waits until the rows of an exact dispatch are known. */
  private ResultForm settle(ResultForm asked, long ticket, CudaDispatch.Call where) {
    ResultForm form = asked.withRows(counts.await(ticket, where.stream()));
    if (rank.regions.isArena()) {
      rank.require(
          Ep4jNative.regionSettle(rank.buffer, where.region(), form.rows(), addresses.address()),
          "placing " + where.operation());
      rank.regions.shrink(where.region(), regionSizes.bytes(form, form.rows()));
    }
    return form;
  }

  /**
   * In an arena gives a region its place. Every combine is received before, because its outputs may
   * be what the place was used for last.
   *
   * @return false if there is no room: the call must be entered all the same, since only so every
   *     rank drops it
   */
  private boolean place(int region, ResultForm form, boolean exact) {
    if (!rank.regions.isArena()) {
      return true;
    }
    rank.outputs.receiveOverdue();
    long bytes = exact ? 0 : regionSizes.bytes(form, form.rows());
    CudaArena.Place place =
        exact ? rank.regions.placeLargest(region) : rank.regions.place(region, bytes);
    rank.require(
        Ep4jNative.regionPlace(rank.buffer, region, place.offset(), place.bytes()),
        "placing a region");
    return place.bytes() >= bytes;
  }

  /** A bounded call that was dropped everywhere because this rank has no room for its result. */
  private EpCapacityException noPlace(int region, ResultForm form) {
    return rank.faults.overflow(
        rank.rank, form.rows(), regionSizes.rowsIn(form, rank.regions.placeBytes(region)));
  }

  /** Dispatch over a handle's routing. */
  CudaDispatch dispatch(Requests.CachedDispatch request) {
    DispatchOptions options = request.options();
    CudaHandle handle = (CudaHandle) request.handle();
    long ordinal = rank.nextCall();
    int region = freeRegions.take("cached dispatch", ordinal);
    long stream = rank.streams.handle(options.stream());
    CudaDispatch.Call where = new CudaDispatch.Call("cached dispatch", ordinal, region, stream);
    issued = false;
    CudaDispatch result = null;
    try {
      fillCached(request, region, handle);
      rank.streams.enter(options.stream(), options.previousEvent());
      ResultForm form = form(request, handle);
      boolean arena = rank.regions.isArena();
      place(region, form, false);
      enter(arena ? ++tickets : 0, where);
      long sendMark = rank.streams.lastEnd();
      if (arena) {
        counts.await(tickets, stream); // whether every rank had room
      }
      result =
          new CudaDispatch(
              rank,
              where,
              handle,
              options,
              new CudaDispatch.Received(form, copyAddresses(), null, sendMark));
    } finally {
      if (result == null) {
        giveBack(region, stream);
      }
    }
    return receiveUnlessHook(result, options, null);
  }

  /** Completes a call; if that fails nobody will ever close its result, nor a handle it made. */
  private static CudaDispatch receiveUnlessHook(
      CudaDispatch result, DispatchOptions options, @Nullable BackendHandle made) {
    if (options.isHook()) {
      return result;
    }
    boolean done = false;
    try {
      result.receive();
      done = true;
      return result;
    } finally {
      if (!done) {
        result.discard();
        if (made != null) {
          made.close();
        }
      }
    }
  }

  private void fill(Requests.Dispatch request, int region, int handle) {
    DispatchOptions options = request.options();
    Tensor topkIdx = request.topkIdx();
    Tensor weights = request.topkWeights();
    fillRows(request.x(), options, region, handle);
    call.putLong(DispatchCall.TOPK_IDX, topkIdx.address());
    call.putLong(DispatchCall.TOPK_WEIGHTS, weights == null ? 0 : weights.address());
    call.putInt(DispatchCall.INDEX_BYTES, topkIdx.dtype().bytes());
    call.putInt(DispatchCall.NUM_TOPK, (int) topkIdx.size(1));
    call.putInt(DispatchCall.ORDER, Codes.order(options.rowOrder()));
    call.putInt(DispatchCall.ALIGNMENT, options.expertAlignment());
    call.putInt(DispatchCall.BOUNDED, options.isBounded() ? 1 : 0);
    call.putLong(DispatchCall.CAPACITY_ROWS, capacityRows(options, (int) topkIdx.size(1)));
  }

  /** Rows that this rank can take: of its regions, and of the caller's own tensors. */
  private long capacityRows(DispatchOptions options, int numTopk) {
    if (options.isBounded()) {
      return options.maxReceivedTokens();
    }
    long rows = rank.options.receiveCapacityRows(options.rowOrder(), rank.numRanks, numTopk);
    Tensor into = options.into();
    Tensor scalesInto = options.scalesInto();
    rows = into == null ? rows : Math.min(rows, into.size(0));
    return scalesInto == null ? rows : Math.min(rows, scalesInto.size(0));
  }

  /** What the result will look like; the rows of an exact dispatch are not known yet. */
  private static ResultForm form(Requests.Dispatch request) {
    DispatchOptions options = request.options();
    Tensor x = request.x();
    return new ResultForm(
        wireType(x, options),
        (int) x.size(1),
        scaleType(options),
        scaleWords(x, options),
        (int) request.topkIdx().size(1),
        request.topkIdx().dtype(),
        request.topkWeights() != null,
        options.rowOrder() == RowOrder.RANK_MAJOR,
        options.isBounded(),
        options.isBounded() ? options.maxReceivedTokens() : 0);
  }

  private static ResultForm form(Requests.CachedDispatch request, CudaHandle handle) {
    DispatchOptions options = request.options();
    Tensor x = request.x();
    return new ResultForm(
        wireType(x, options),
        (int) x.size(1),
        scaleType(options),
        scaleWords(x, options),
        handle.numTopk(),
        null,
        false,
        handle.rankMajor(),
        handle.isBounded(),
        handle.resultRows());
  }

  private void fillCached(Requests.CachedDispatch request, int region, CudaHandle handle) {
    fillRows(request.x(), request.options(), region, handle.slot);
    // K 0 and no bound: what the native library takes for "repeat the handle's".
    call.putInt(DispatchCall.ORDER, Codes.order(handle.rowOrder()));
    call.putInt(DispatchCall.ALIGNMENT, 1);
    call.putLong(DispatchCall.CAPACITY_ROWS, handle.resultRows());
  }

  /** What both forms have in common; everything else is zero. */
  private void fillRows(Tensor x, DispatchOptions options, int region, int handle) {
    call.reset();
    Tensor scales = options.scales();
    call.putLong(DispatchCall.X, x.address());
    if (scales != null) {
      call.putLong(DispatchCall.SCALES, scales.address());
      call.putLong(DispatchCall.SCALE_STRIDE_TOKEN, scales.stride(0));
      call.putLong(DispatchCall.SCALE_STRIDE_WORD, scales.stride(1));
      call.putInt(DispatchCall.SCALE_WORDS, (int) scales.size(1));
    }
    call.putInt(DispatchCall.NUM_TOKENS, (int) x.size(0));
    call.putInt(DispatchCall.HIDDEN, (int) x.size(1));
    call.putInt(DispatchCall.DTYPE, Codes.dtype(x.dtype()));
    call.putInt(DispatchCall.CAST, Codes.cast(options.quantization()));
    call.putInt(DispatchCall.ZERO_FILL, options.isZeroFill() ? 1 : 0);
    call.putInt(DispatchCall.REGION, region);
    call.putInt(DispatchCall.HANDLE, handle);
    call.putInt(
        DispatchCall.NUM_SMS, rank.numSms(options.numSms(), rank.options.tuning().dispatchSms()));
    call.putLong(DispatchCall.TIMEOUT_NANOS, rank.timeoutNanos(options));
  }

  private long[] copyAddresses() {
    long[] copy = new long[ResultForm.ADDRESSES];
    for (int i = 0; i < copy.length; i++) {
      copy[i] = addresses.getLong(ADDRESS_MEMBERS[i]);
    }
    return copy;
  }

  private static DType wireType(Tensor x, DispatchOptions options) {
    return options.quantization() == null ? x.dtype() : DType.FP8_E4M3;
  }

  private static DType scaleType(DispatchOptions options) {
    Tensor scales = options.scales();
    if (scales != null) {
      return scales.dtype();
    }
    return options.quantization() == Quantization.UE8M0 ? DType.INT32 : DType.FLOAT32;
  }

  private static int scaleWords(Tensor x, DispatchOptions options) {
    Quantization cast = options.quantization();
    if (cast != null) {
      int groups = (int) x.size(1) / FP8_GROUP;
      return cast == Quantization.UE8M0 ? (groups + 3) / 4 : groups;
    }
    Tensor scales = options.scales();
    return scales == null ? 0 : (int) scales.size(1);
  }

  @Override
  public void close() {
    counts.close();
    regionSizes.close();
    call.close();
    addresses.close();
  }
}
