package io.github.deepep4j.bench;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.Event;
import io.github.deepep4j.LowLatencyCombine;
import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.LowLatencyDispatch;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * One rank of a low-latency benchmark: dispatch, combine or both, or half of one. Combine is
 * zero-copy, into the caller's tensor.
 */
class LowLatencyRank extends RankWork {
  /** What is measured. */
  enum Operation {
    /** Dispatch alone. */
    DISPATCH("dispatch", true, false, false),
    /** Combine alone, again and again over one open dispatch. */
    COMBINE("combine", false, true, false),
    /** Dispatch and combine, as in one layer of decoding. */
    PAIR("pair", true, true, false),
    /** The sending half of a dispatch. */
    DISPATCH_SEND("dispatchSend", true, false, true),
    /** The receiving half, when all rows are there. */
    DISPATCH_RECEIVE("dispatchReceive", true, false, true),
    /** The sending half of a combine. */
    COMBINE_SEND("combineSend", false, true, true),
    /** The receiving half, when all outputs are there. */
    COMBINE_RECEIVE("combineReceive", false, true, true);

    final String text;
    final boolean dispatches;
    final boolean combines;
    final boolean isHalf;

    Operation(String text, boolean dispatches, boolean combines, boolean isHalf) {
      this.text = text;
      this.dispatches = dispatches;
      this.combines = combines;
      this.isHalf = isHalf;
    }

    static Operation of(String text) {
      for (Operation operation : values()) {
        if (operation.text.equals(text)) {
          return operation;
        }
      }
      throw new IllegalArgumentException(
          "operation must be dispatch, combine, pair, dispatchSend, dispatchReceive, combineSend or"
              + " combineReceive: "
              + text);
    }
  }

  final Operation operation;
  private final Routing.Rows rows;
  private final LowLatencyDispatchOptions dispatchOptions;
  private final LowLatencyCombineOptions combineOptions;
  private final Tensor sums;
  private @Nullable LowLatencyDispatch dispatched;
  private @Nullable LowLatencyCombine combined;
  private @Nullable Tensor y;

  LowLatencyRank(Workload load, Routing routing, ProcessGroup group, Operation operation) {
    this(load, routing, group, operation, options(load).lowLatencyOnly());
  }

  LowLatencyRank(
      Workload load,
      Routing routing,
      ProcessGroup group,
      Operation operation,
      BufferOptions options) {
    super(load, routing, group, options);
    this.operation = operation;
    LowLatencyDispatchOptions plain = withSms(LowLatencyDispatchOptions.defaults());
    LowLatencyDispatchOptions wire =
        load.dtype() == Workload.Wire.BF16 ? plain : plain.quantize(Quantization.PLAIN);
    dispatchOptions = operation.isHalf && operation.dispatches ? wire.hook() : wire;
    sums = allocate(DType.BF16, load.tokens(), load.hidden());
    LowLatencyCombineOptions back = withSms(LowLatencyCombineOptions.defaults()).into(sums);
    combineOptions = operation.isHalf && operation.combines ? back.hook() : back;
    rows = routing.expertMajor(rank, load.ranks() * load.tokens());
  }

  @Override
  void open() {
    if (!operation.dispatches) {
      dispatch(dispatchOptions);
      dispatched().event().synchronize();
    }
  }

  final void dispatch(LowLatencyDispatchOptions options) {
    dispatched = buffer.lowLatencyDispatch(x, topkIdx, options);
  }

  final void combine(Tensor from, LowLatencyCombineOptions options) {
    combined = buffer.lowLatencyCombine(from, topkWeights, dispatched().handle(), options);
  }

  final LowLatencyDispatchOptions dispatchOptions() {
    return dispatchOptions;
  }

  final LowLatencyCombineOptions combineOptions() {
    return combineOptions;
  }

  final LowLatencyDispatch dispatched() {
    return Objects.requireNonNull(dispatched, "a dispatch comes first");
  }

  final LowLatencyCombine combined() {
    return Objects.requireNonNull(combined, "issue() comes first");
  }

  private Tensor input() {
    return filledOnce(buffer.lowLatencyCombineInput(dispatched().handle(), null), rows);
  }

  /** The expert outputs of the next combine over the open dispatch, as prepare() has found them. */
  final Tensor outputs() {
    return Objects.requireNonNull(y, "prepare() comes first");
  }

  @Override
  void prepare() {
    if (!operation.dispatches) {
      y = input();
    }
    if (operation == Operation.DISPATCH_RECEIVE) {
      dispatch(dispatchOptions);
      dispatched().event().synchronize();
    } else if (operation == Operation.COMBINE_RECEIVE) {
      combine(outputs(), combineOptions);
      combined().event().synchronize();
    }
  }

  @Override
  void issue() {
    switch (operation) {
      case DISPATCH, DISPATCH_SEND -> dispatch(dispatchOptions);
      case COMBINE, COMBINE_SEND -> combine(outputs(), combineOptions);
      case PAIR -> {
        dispatch(dispatchOptions);
        combine(input(), combineOptions); // of this dispatch: it can be had only now
      }
      case DISPATCH_RECEIVE -> dispatched().receive();
      case COMBINE_RECEIVE -> combined().receive();
      default -> throw new AssertionError(operation);
    }
  }

  @Override
  Event event() {
    return operation.combines ? combined().event() : dispatched().event();
  }

  @Override
  void release() {
    if (operation.combines) {
      combined().close();
    }
    if (operation.dispatches) {
      dispatched().close();
    }
  }

  @Override
  void compare() {
    if (operation.dispatches) {
      dispatched().receive();
      dispatched().event().synchronize();
      checkRows(dispatched().x(), rows);
      int[] counts = new int[load.localExperts()];
      int rowsPerExpert = load.ranks() * load.tokens();
      for (int row : rows.index()) {
        counts[row / rowsPerExpert]++;
      }
      require(
          Arrays.equals(read(dispatched().count()).toInts(), counts),
          "counts are not the routing's");
    }
    if (operation.combines) {
      combined().receive();
      combined().event().synchronize();
      checkSums(combined().combined(), true);
    }
  }

  @Override
  public void close() {
    if (!operation.dispatches && dispatched != null) {
      dispatched.close();
    }
    sums.close();
    super.close();
  }
}
