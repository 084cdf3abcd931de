package io.github.deepep4j.bench;

import io.github.deepep4j.Event;
import io.github.deepep4j.LowLatencyCombine;
import io.github.deepep4j.LowLatencyDispatch;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.tensor.Tensor;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** One rank of a low-latency benchmark: dispatch, combine or both. Combine is zero-copy. */
final class LowLatencyRank extends RankWork {
  /** What is measured. */
  enum Operation {
    /** Dispatch alone. */
    DISPATCH,
    /** Combine alone, again and again over one open dispatch. */
    COMBINE,
    /** Dispatch and combine, as in one layer of decoding. */
    PAIR
  }

  private final Operation operation;
  private final Routing.Rows rows;
  private final LowLatencyDispatchOptions options;
  private @Nullable LowLatencyDispatch dispatched;
  private @Nullable LowLatencyCombine combined;
  private @Nullable Tensor y;

  LowLatencyRank(Workload load, Routing routing, ProcessGroup group, Operation operation) {
    super(load, routing, group, options(load).lowLatencyOnly());
    this.operation = operation;
    LowLatencyDispatchOptions plain = withSms(LowLatencyDispatchOptions.defaults());
    options = load.dtype() == Workload.Wire.BF16 ? plain : plain.quantize(Quantization.PLAIN);
    rows = routing.expertMajor(rank, load.ranks() * load.tokens());
  }

  @Override
  void open() {
    if (operation == Operation.COMBINE) {
      dispatch();
      dispatched().event().synchronize();
    }
  }

  private void dispatch() {
    dispatched = buffer.lowLatencyDispatch(x, topkIdx, options);
  }

  private LowLatencyDispatch dispatched() {
    return Objects.requireNonNull(dispatched, "a dispatch comes first");
  }

  private LowLatencyCombine combined() {
    return Objects.requireNonNull(combined, "issue() comes first");
  }

  private Tensor input() {
    return filledOnce(buffer.lowLatencyCombineInput(dispatched().handle(), null), rows);
  }

  @Override
  void prepare() {
    if (operation == Operation.COMBINE) {
      y = input();
    }
  }

  @Override
  void issue() {
    if (operation != Operation.COMBINE) {
      dispatch();
    }
    if (operation != Operation.DISPATCH) {
      // Of a pair it can be had only now: it belongs to this dispatch.
      Tensor from = operation == Operation.PAIR ? input() : Objects.requireNonNull(y);
      combined = buffer.lowLatencyCombine(from, topkWeights, dispatched().handle());
    }
  }

  @Override
  Event event() {
    return operation == Operation.DISPATCH ? dispatched().event() : combined().event();
  }

  @Override
  void release() {
    if (operation != Operation.DISPATCH) {
      combined().close();
    }
    if (operation != Operation.COMBINE) {
      dispatched().close();
    }
  }

  @Override
  void compare() {
    if (operation != Operation.COMBINE) {
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
    if (operation != Operation.DISPATCH) {
      checkSums(combined().combined(), true);
    }
  }

  @Override
  public void close() {
    if (operation == Operation.COMBINE && dispatched != null) {
      dispatched.close();
    }
    super.close();
  }
}
