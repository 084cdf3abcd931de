package io.github.deepep4j.bench;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.Event;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.Arrays;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** One rank of a normal-mode benchmark: a dispatch has been made, so that there is a handle. */
abstract class NormalRank extends RankWork {
  final boolean expertMajor;
  final Routing.Rows rows;
  final DispatchOptions dispatchOptions;
  private @Nullable DispatchHandle handle;

  NormalRank(Workload load, Routing routing, ProcessGroup group, boolean expertMajor) {
    super(load, routing, group, options(load, expertMajor));
    this.expertMajor = expertMajor;
    this.rows = expertMajor ? routing.expertMajor(rank, 0) : routing.rankMajor(rank);
    DispatchOptions plain = withSms(DispatchOptions.defaults());
    this.dispatchOptions = wire(expertMajor ? plain.expertMajor(1) : plain);
  }

  private static BufferOptions options(Workload load, boolean expertMajor) {
    BufferOptions options = options(load);
    return expertMajor ? options.expertMajor() : options;
  }

  @Override
  void open() {
    try (DispatchResult first = buffer.dispatch(x, topkIdx, topkWeights, dispatchOptions)) {
      handle = first.handle();
      require(
          first.numReceived() == rows.count(),
          first.numReceived() + " rows received instead of " + rows.count());
      first.event().synchronize();
    }
  }

  final DispatchHandle handle() {
    return Objects.requireNonNull(handle, "open() comes first");
  }

  @Override
  public void close() {
    if (handle != null) {
      handle.close();
    }
    super.close();
  }

  /** Dispatch in its forms. */
  static final class Dispatch extends NormalRank {
    private final boolean cached;
    private final DispatchOptions options;
    private final Tensor ownRows;
    private final Tensor ownScales;
    private @Nullable DispatchResult result;

    Dispatch(Workload load, Routing routing, ProcessGroup group, Form form) {
      super(load, routing, group, form.expertMajor());
      this.cached = form.cached();
      long count = form.owned() ? rows.count() : 0;
      DType dtype = load.dtype() == Workload.Wire.BF16 ? DType.BF16 : DType.FP8_E4M3;
      ownRows = allocate(dtype, count, load.hidden());
      ownScales = allocate(DType.FLOAT32, count, load.scaleWords());
      options =
          !form.owned()
              ? dispatchOptions
              : load.scaleWords() == 0
                  ? dispatchOptions.into(ownRows)
                  : dispatchOptions.into(ownRows, ownScales);
    }

    /**
     * How rows are dispatched.
     *
     * @param expertMajor rows by expert, one for each; else by source, one for each rank
     * @param cached over the handle of an earlier dispatch; else with routing, counted
     * @param owned copied to the caller's tensor; else borrowed
     */
    record Form(boolean expertMajor, boolean cached, boolean owned) {}

    @Override
    void issue() {
      result =
          cached
              ? buffer.dispatch(x, handle(), options)
              : buffer.dispatch(x, topkIdx, topkWeights, options);
    }

    private DispatchResult result() {
      return Objects.requireNonNull(result, "issue() comes first");
    }

    @Override
    Event event() {
      return result().event();
    }

    @Override
    void release() {
      if (!cached) {
        result().handle().close();
      }
      result().close();
    }

    @Override
    void compare() {
      checkRows(result().x(), rows);
      if (load.scaleWords() > 0) {
        checkScales(read(result().scales()));
      }
      if (!cached) {
        require(
            Arrays.equals(read(result().sourceToken()).toInts(), rows.token()),
            "source tokens are not those of the rows");
      }
    }

    private void checkScales(Tensor scales) {
      for (int row = 0; row < rows.count(); row++) {
        float[] expected = pattern.scales(rows.rank()[row], rows.token()[row]);
        require(
            Arrays.equals(scales.rows(row, row + 1).toFloats(), expected),
            "scales of row " + row + " are not those of its token");
      }
    }

    @Override
    public void close() {
      ownRows.close();
      ownScales.close();
      super.close();
    }
  }

  /** Combine in its forms, into the caller's tensor. */
  static final class Combine extends NormalRank {
    private final boolean zeroCopy;
    private final CombineOptions options;
    private final Tensor staged;
    private final Tensor sums;
    private Tensor y;
    private @Nullable CombineResult result;

    Combine(Workload load, Routing routing, ProcessGroup group, Form form) {
      super(load, routing, group, form.expertMajor());
      zeroCopy = form.zeroCopy();
      sums = allocate(DType.BF16, load.tokens(), load.hidden());
      CombineOptions plain = withSms(CombineOptions.defaults()).into(sums);
      options = form.weighted() ? plain.weighted() : plain;
      staged = allocate(DType.BF16, zeroCopy ? 0 : rows.count(), load.hidden());
      y = staged;
    }

    /**
     * How rows are combined.
     *
     * @param expertMajor the dispatch's order
     * @param zeroCopy rows lie in the buffer's region already; else they are copied there
     * @param weighted multiplied by the gate weights
     */
    record Form(boolean expertMajor, boolean zeroCopy, boolean weighted) {}

    @Override
    void prepare() {
      y = filledOnce(zeroCopy ? buffer.combineInput(handle(), null) : staged, rows);
    }

    @Override
    void issue() {
      result = buffer.combine(y, handle(), options);
    }

    private CombineResult result() {
      return Objects.requireNonNull(result, "issue() comes first");
    }

    @Override
    Event event() {
      return result().event();
    }

    @Override
    void release() {
      result().close();
    }

    @Override
    void compare() {
      checkSums(result().combined(), expertMajor);
    }

    @Override
    public void close() {
      staged.close();
      sums.close();
      super.close();
    }
  }
}
