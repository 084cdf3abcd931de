package io.github.deepep4j.internal.backend;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Every rule that the host can check before a call enters the collective, once for all backends. A
 * broken rule is an {@link IllegalArgumentException} with the rule and the value; the peers wait,
 * and the caller may correct the call within the deadline.
 */
public final class CallRules {
  private static final int ROW_ALIGNMENT_BYTES = 16;

  private final BufferOptions options;
  private final int numRanks;
  private final Device device;

  /**
   * Makes the rules of one buffer.
   *
   * @param options what it was made for
   * @param numRanks n
   * @param device where its tensors live
   */
  public CallRules(BufferOptions options, int numRanks, Device device) {
    this.options = options;
    this.numRanks = numRanks;
    this.device = device;
  }

  /** Rules of a normal-mode dispatch with routing. */
  public void checkDispatch(
      Tensor x, Tensor topkIdx, @Nullable Tensor topkWeights, DispatchOptions call) {
    require(
        options.isNormal(),
        "dispatch needs a buffer with normal mode, this one is lowLatencyOnly()");
    checkRows(x, "x", call);
    checkRouting(topkIdx, topkWeights, x.size(0));
    if (call.rowOrder() == RowOrder.EXPERT_MAJOR) {
      require(
          options.isExpertMajor(),
          "expert-major dispatch needs BufferOptions.expertMajor(), this buffer was made without");
      require(
          call.expertAlignment() <= options.maxExpertAlignment(),
          () ->
              "expertAlignment must be <= maxExpertAlignment "
                  + options.maxExpertAlignment()
                  + ": "
                  + call.expertAlignment());
    } else {
      require(!call.isZeroFill(), "zeroFill() needs expert-major order, the call is rank-major");
    }
    if (call.isBounded()) {
      long capacity = options.receiveCapacityRows(call.rowOrder(), numRanks, (int) topkIdx.size(1));
      require(
          call.maxReceivedTokens() <= capacity,
          () ->
              "maxReceivedTokens must be <= the receive capacity "
                  + capacity
                  + ": "
                  + call.maxReceivedTokens());
      checkInto(x, call, call.maxReceivedTokens());
    } else {
      checkInto(x, call, 0);
    }
  }

  /** Rules of a cached dispatch. */
  public void checkCachedDispatch(Tensor x, BackendHandle handle, DispatchOptions call) {
    checkRows(x, "x", call);
    require(
        x.size(0) == handle.numTokens(),
        () -> "x must have the " + handle.numTokens() + " tokens of its handle: " + x);
    require(!call.isBounded(), "a cached dispatch takes its bound from the handle");
    require(
        call.rowOrder() == RowOrder.RANK_MAJOR || call.rowOrder() == handle.rowOrder(),
        "the handle is of a rank-major dispatch, the call asks for expert-major rows");
    require(
        !call.isZeroFill() || handle.rowOrder() == RowOrder.EXPERT_MAJOR,
        "zeroFill() needs expert-major order, the handle is rank-major");
    checkInto(x, call, handle.resultRows());
  }

  /** Rules of a routing; {@code numTokens} is −1 where nothing says how many tokens there are. */
  public void checkRouting(Tensor topkIdx, @Nullable Tensor topkWeights, long numTokens) {
    checkPlain(topkIdx, "topkIdx", 2);
    require(
        topkIdx.dtype() == DType.INT64 || topkIdx.dtype() == DType.INT32,
        () -> "topkIdx must be INT64 or INT32: " + topkIdx);
    long numTopk = topkIdx.size(1);
    require(
        numTopk >= 1 && numTopk <= options.maxTopk(),
        () ->
            "K must be from 1 to the buffer's maxTopk "
                + options.maxTopk()
                + " (at most "
                + BufferOptions.MAX_TOPK
                + "): "
                + numTopk);
    require(
        topkIdx.size(0) <= options.maxTokensPerRank(),
        () ->
            "T must be <= maxTokensPerRank " + options.maxTokensPerRank() + ": " + topkIdx.size(0));
    require(
        numTokens < 0 || topkIdx.size(0) == numTokens,
        () -> "topkIdx must have the " + numTokens + " tokens of x: " + topkIdx);
    if (topkWeights != null) {
      checkShape(topkWeights, "topkWeights", DType.FLOAT32, topkIdx.shape());
    }
  }

  /** Rules of a normal-mode combine. */
  public void checkCombine(Tensor y, BackendHandle handle, CombineOptions call) {
    checkPlain(y, "y", 2);
    checkStreamDevice(call.stream());
    require(y.dtype() == DType.BF16, () -> "y must be BF16: " + y);
    require(
        y.size(0) == handle.resultRows(),
        () -> "y must have the " + handle.resultRows() + " rows that the dispatch delivered: " + y);
    checkRowBytes(y, "y");
    long[] tokens = {handle.numTokens(), y.size(1)};
    checkOptional(call.bias0(), "bias", DType.BF16, tokens);
    checkOptional(call.bias1(), "second bias", DType.BF16, tokens);
    checkOptional(call.into(), "into", DType.BF16, tokens);
    boolean rankMajor = handle.rowOrder() == RowOrder.RANK_MAJOR;
    long[] weightShape =
        rankMajor
            ? new long[] {handle.resultRows(), handle.numTopk()}
            : new long[] {handle.resultRows()};
    checkOptional(call.topkWeights(), "topkWeights", DType.FLOAT32, weightShape);
    require(
        !call.isWeighted() || !rankMajor,
        "weighted() needs an expert-major handle: rank-major rows are already weighted sums");
    require(
        !call.isWeighted() || handle.hasWeights(),
        "weighted() needs a dispatch that was given topkWeights");
    require(
        !call.isWeighted() || call.topkWeights() == null,
        "weighted() gives no weight gradient: topkWeights cannot go back with it");
  }

  /** Rules of memory for a combine's rows. */
  public void checkCombineInput(BackendHandle handle) {
    require(
        handle.hidden() <= options.hidden(),
        () ->
            "rows of a combine are BF16 and at most the buffer's hidden "
                + options.hidden()
                + " wide, the dispatch's are "
                + handle.hidden());
  }

  /** Rules of a low-latency dispatch. */
  public void checkLowLatencyDispatch(Tensor x, Tensor topkIdx, LowLatencyDispatchOptions call) {
    requireLowLatency("lowLatencyDispatch");
    checkPlain(x, "x", 2);
    checkStreamDevice(call.stream());
    require(x.dtype() == DType.BF16, () -> "x must be BF16: " + x);
    require(
        x.size(1) == options.hidden(),
        () -> "low-latency rows have the buffer's hidden " + options.hidden() + ": " + x);
    checkRouting(topkIdx, null, x.size(0));
    checkQuantizable(call.quantization() != null, x);
    int localExperts = options.numExperts() / numRanks;
    checkOptional(call.receiveStats(), "receiveStats", DType.INT32, localExperts);
    checkOptional(call.waitNanos(), "waitNanos", DType.INT64, numRanks);
  }

  /** Rules of a low-latency combine. */
  public void checkLowLatencyCombine(
      Tensor y, Tensor topkWeights, BackendHandle handle, LowLatencyCombineOptions call) {
    requireLowLatency("lowLatencyCombine");
    checkStreamDevice(call.stream());
    long rowsPerExpert = (long) numRanks * options.maxTokensPerRank();
    checkShape(
        y, "y", DType.BF16, options.numExperts() / numRanks, rowsPerExpert, options.hidden());
    checkShape(topkWeights, "topkWeights", DType.FLOAT32, handle.numTokens(), handle.numTopk());
    checkOptional(call.into(), "into", DType.BF16, handle.numTokens(), options.hidden());
    require(
        !call.isLogFmt() || options.hidden() % 512 == 0,
        () -> "LogFMT-10 needs a hidden size that is a multiple of 512: " + options.hidden());
  }

  /** A rank that can be masked. */
  public void checkPeer(int rank) {
    checkRank(rank);
  }

  /** A rank of the group. */
  public void checkRank(int rank) {
    require(
        rank >= 0 && rank < numRanks,
        () -> "rank must be from 0 to " + (numRanks - 1) + ": " + rank);
  }

  private void checkRows(Tensor x, String name, DispatchOptions call) {
    checkPlain(x, name, 2);
    checkStreamDevice(call.stream());
    require(
        x.dtype() == DType.BF16 || x.dtype() == DType.FP8_E4M3,
        () -> name + " must be BF16 or FP8_E4M3: " + x);
    require(
        x.size(0) <= options.maxTokensPerRank(),
        () -> "T must be <= maxTokensPerRank " + options.maxTokensPerRank() + ": " + x.size(0));
    checkRowBytes(x, name);
    checkQuantizable(call.quantization() != null, x);
    Tensor scales = call.scales();
    if (scales != null) {
      require(x.dtype() == DType.FP8_E4M3, () -> "scales travel with FP8 rows only, x is " + x);
      checkScales(scales, x.size(0));
    }
  }

  private void checkScales(Tensor scales, long numTokens) {
    require(
        scales.dimensions() == 2
            && (scales.dtype() == DType.FLOAT32 || scales.dtype() == DType.INT32),
        () -> "scales must be [T, S] FLOAT32 or INT32: " + scales);
    checkDevice(scales, "scales");
    require(
        scales.size(0) == numTokens,
        () -> "scales must have the " + numTokens + " tokens of x: " + scales);
    require(
        scales.size(1) >= 1 && scales.size(1) <= options.maxScalesPerRow(),
        () ->
            "S must be from 1 to the buffer's maxScalesPerRow "
                + options.maxScalesPerRow()
                + ": "
                + scales.size(1));
    boolean columnMajor = scales.stride(0) == 1 && scales.stride(1) >= numTokens;
    boolean rowMajor = scales.stride(1) == 1 && scales.stride(0) >= scales.size(1);
    require(
        numTokens == 0 || columnMajor || rowMajor || scales.isContiguous(),
        () -> "scales must be row-major or column-major: " + scales);
  }

  private void checkQuantizable(boolean quantize, Tensor x) {
    if (quantize) {
      require(x.dtype() == DType.BF16, () -> "the cast to FP8 takes BF16 rows: " + x);
      require(
          x.size(1) % 128 == 0,
          () -> "the cast to FP8 needs a hidden size that is a multiple of 128: " + x.size(1));
    }
  }

  private void checkRowBytes(Tensor rows, String name) {
    long rowBytes = rows.size(1) * rows.dtype().bytes();
    require(
        rowBytes > 0 && rowBytes % ROW_ALIGNMENT_BYTES == 0,
        () ->
            name + "'s rows must be a multiple of " + ROW_ALIGNMENT_BYTES + " bytes: " + rowBytes);
    require(
        rowBytes <= 2L * options.hidden(),
        () ->
            name
                + "'s rows must be at most the buffer's "
                + 2L * options.hidden()
                + " bytes: "
                + rowBytes);
  }

  private void checkInto(Tensor x, DispatchOptions call, long leastRows) {
    Tensor into = call.into();
    if (into == null) {
      return;
    }
    DType wire = call.quantization() == null ? x.dtype() : DType.FP8_E4M3;
    checkPlain(into, "into", 2);
    require(
        into.dtype() == wire && into.size(1) == x.size(1),
        () -> "into must be " + wire + " with rows of " + x.size(1) + ": " + into);
    require(
        into.size(0) >= leastRows, () -> "into must have at least " + leastRows + " rows: " + into);
    Tensor scalesInto = call.scalesInto();
    if (scalesInto != null) {
      long words = scaleWords(x, call);
      checkPlain(scalesInto, "scales into", 2);
      require(
          scalesInto.dtype().bytes() == 4
              && scalesInto.size(0) >= leastRows
              && scalesInto.size(1) == words,
          () ->
              "scales into must have a 4-byte dtype, at least "
                  + leastRows
                  + " rows and the call's "
                  + words
                  + " scale words: "
                  + scalesInto);
    }
  }

  /** 4-byte scale words that travel with each row. */
  private static long scaleWords(Tensor x, DispatchOptions call) {
    Quantization quantization = call.quantization();
    Tensor scales = call.scales();
    if (quantization == null) {
      return scales == null ? 0 : scales.size(1);
    }
    int channels = quantization == Quantization.UE8M0 ? 512 : 128;
    return (x.size(1) + channels - 1) / channels;
  }

  private void requireLowLatency(String operation) {
    require(
        options.isLowLatency(),
        () -> operation + " needs BufferOptions.lowLatency(), this buffer was made without");
  }

  private void checkStreamDevice(io.github.deepep4j.@Nullable Stream stream) {
    require(
        stream == null || stream.device().equals(device),
        () -> "the stream must be of the buffer's device " + device + ": " + stream);
  }

  private void checkOptional(@Nullable Tensor tensor, String name, DType dtype, long... shape) {
    if (tensor != null) {
      checkShape(tensor, name, dtype, shape);
    }
  }

  private void checkShape(Tensor tensor, String name, DType dtype, long... shape) {
    checkPlain(tensor, name, shape.length);
    require(
        tensor.dtype() == dtype && java.util.Arrays.equals(tensor.shape(), shape),
        () -> name + " must be " + dtype + java.util.Arrays.toString(shape) + ": " + tensor);
  }

  private void checkPlain(Tensor tensor, String name, int dimensions) {
    require(
        tensor.dimensions() == dimensions,
        () -> name + " must have " + dimensions + " dimensions: " + tensor);
    require(tensor.isContiguous(), () -> name + " must be contiguous: " + tensor);
    checkDevice(tensor, name);
  }

  /** Device, and that the memory is still there: once in the collective it would be too late. */
  private void checkDevice(Tensor tensor, String name) {
    require(
        tensor.device().equals(device),
        () -> name + " must be on the buffer's device " + device + ": " + tensor);
    try {
      tensor.address();
    } catch (IllegalStateException closed) {
      throw new IllegalStateException(name + " cannot be read: " + closed.getMessage(), closed);
    }
  }

  private static void require(boolean rule, String message) {
    if (!rule) {
      throw new IllegalArgumentException(message);
    }
  }

  /** For a message with a value: every call passes here, so it is put together only when needed. */
  private static void require(boolean rule, Supplier<String> message) {
    if (!rule) {
      throw new IllegalArgumentException(message.get());
    }
  }
}
