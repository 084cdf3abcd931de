package io.github.deepep4j.bench;

import io.github.deepep4j.LowLatencyCombine;
import io.github.deepep4j.LowLatencyDispatch;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.LowLatencyHandle;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.tensor.Tensor;
import java.util.Arrays;

/** One rank of a low-latency benchmark. Combine is zero-copy. */
abstract class LowLatencyRank extends RankWork {
  final Routing.Rows rows;
  private final LowLatencyDispatchOptions options;

  LowLatencyRank(Workload load, Routing routing, ProcessGroup group) {
    super(load, routing, group, options(load).lowLatencyOnly());
    LowLatencyDispatchOptions plain = LowLatencyDispatchOptions.defaults();
    options = load.dtype() == Workload.Wire.BF16 ? plain : plain.quantize(Quantization.PLAIN);
    rows = routing.expertMajor(rank, load.ranks() * load.tokens());
  }

  final LowLatencyDispatch dispatch() {
    return buffer.lowLatencyDispatch(x, topkIdx, options);
  }

  final LowLatencyCombine combine(LowLatencyHandle handle) {
    Tensor y = filledOnce(buffer.lowLatencyCombineInput(handle, null), rows);
    return buffer.lowLatencyCombine(y, topkWeights, handle);
  }

  /** Dispatch alone. */
  static final class Dispatch extends LowLatencyRank {
    Dispatch(Workload load, Routing routing, ProcessGroup group) {
      super(load, routing, group);
    }

    @Override
    void call() {
      dispatch().close();
    }

    @Override
    void check() {
      try (LowLatencyDispatch result = dispatch()) {
        checkRows(result.x(), rows);
        int[] counts = new int[load.localExperts()];
        int rowsPerExpert = load.ranks() * load.tokens();
        for (int row : rows.index()) {
          counts[row / rowsPerExpert]++;
        }
        require(Arrays.equals(result.count().toInts(), counts), "counts are not the routing's");
      }
    }
  }

  /** Combine alone, again and again over one open dispatch. */
  static final class Combine extends LowLatencyRank {
    private final LowLatencyDispatch dispatched;

    Combine(Workload load, Routing routing, ProcessGroup group) {
      super(load, routing, group);
      dispatched = dispatch();
    }

    @Override
    void call() {
      combine(dispatched.handle()).close();
    }

    @Override
    void check() {
      try (LowLatencyCombine result = combine(dispatched.handle())) {
        checkSums(result.combined(), true);
      }
    }

    @Override
    public void close() {
      dispatched.close();
      super.close();
    }
  }

  /** Dispatch and combine, as in one layer of decoding. */
  static final class Pair extends LowLatencyRank {
    Pair(Workload load, Routing routing, ProcessGroup group) {
      super(load, routing, group);
    }

    @Override
    void call() {
      try (LowLatencyDispatch dispatched = dispatch()) {
        combine(dispatched.handle()).close();
      }
    }

    @Override
    void check() {
      try (LowLatencyDispatch dispatched = dispatch()) {
        checkRows(dispatched.x(), rows);
        try (LowLatencyCombine result = combine(dispatched.handle())) {
          checkSums(result.combined(), true);
        }
      }
    }
  }
}
