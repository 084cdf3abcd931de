package io.github.deepep4j.bench;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;

/**
 * One rank of a benchmark: its buffer, its inputs, and the operation that is measured. Every method
 * runs on the rank's thread; all but {@link #close} are collective.
 */
abstract class RankWork implements AutoCloseable {
  /** Salt of the inputs that are measured. */
  static final int MEASURED = 1;

  /** Salt of the inputs on which the result is checked. */
  private static final int CHECKED = 2;

  private static final Duration TIMEOUT = Duration.ofSeconds(30);

  final Workload load;
  final Routing routing;
  final int rank;
  final Buffer buffer;
  final Tensor x;
  final Tensor scales;
  final Tensor topkIdx;
  final Tensor topkWeights;
  private final Set<Long> filled = new HashSet<>();
  Pattern pattern;

  RankWork(Workload load, Routing routing, ProcessGroup group, BufferOptions options) {
    this.load = load;
    this.routing = routing;
    this.rank = group.rank();
    this.buffer =
        Buffer.builder(group)
            .options(options.timeout(TIMEOUT))
            .device(load.backend().equals("cpu") ? Device.cpu() : Device.cuda(rank))
            .build();
    buffer.warmUp();
    boolean given = load.dtype() == Workload.Wire.FP8;
    x = Tensor.allocate(given ? DType.FP8_E4M3 : DType.BF16, load.tokens(), load.hidden());
    scales = Tensor.allocate(DType.FLOAT32, load.tokens(), given ? load.scaleWords() : 0);
    topkIdx = Tensor.copyOf(routing.topkIdx(rank), load.tokens(), load.topk());
    float[] ones = new float[load.tokens() * load.topk()];
    Arrays.fill(ones, 1f);
    topkWeights = Tensor.copyOf(ones, load.tokens(), load.topk());
    pattern = new Pattern(load, MEASURED);
    fillInput();
  }

  /** Options of every benchmark's buffer. */
  static BufferOptions options(Workload load) {
    return BufferOptions.of(load.experts(), load.hidden(), load.tokens())
        .maxTopk(load.topk())
        .maxExpertAlignment(1);
  }

  /** The operation that is measured: called again and again. */
  abstract void call();

  /** One more call, with its result compared with the closed form. */
  abstract void check();

  /** Changes the inputs and checks. */
  final void verify() {
    pattern = new Pattern(load, CHECKED);
    filled.clear();
    fillInput();
    check();
  }

  private void fillInput() {
    for (int token = 0; token < load.tokens(); token++) {
      Tensor row = x.rows(token, token + 1);
      if (load.dtype() == Workload.Wire.FP8) {
        row.copyFrom(pattern.fp8(rank, token));
        scales.rows(token, token + 1).copyFrom(pattern.scales(rank, token));
      } else {
        row.copyFrom(pattern.bf16(rank, token, 1));
      }
    }
  }

  /** The call's options as far as the dtype decides them. */
  final DispatchOptions wire(DispatchOptions options) {
    return switch (load.dtype()) {
      case BF16 -> options;
      case FP8 -> options.scales(scales);
      case FP8_CAST -> options.quantize(io.github.deepep4j.Quantization.PLAIN);
    };
  }

  /**
   * Writes what the experts return, the rows unchanged, the first time that a region is seen: its
   * contents stay, so that the calls which are measured find their input without writing it.
   *
   * @param y the region, rows of H elements
   * @param rows which rows it holds
   */
  final Tensor filledOnce(Tensor y, Routing.Rows rows) {
    if (filled.add(y.address())) {
      fill(y, rows);
    }
    return y;
  }

  final void fill(Tensor y, Routing.Rows rows) {
    Tensor flat = flat(y);
    for (int i = 0; i < rows.count(); i++) {
      int row = rows.index()[i];
      flat.rows(row, row + 1).copyFrom(pattern.bf16(rows.rank()[i], rows.token()[i], 1));
    }
  }

  /** Rows that a dispatch delivered. */
  final void checkRows(Tensor received, Routing.Rows rows) {
    Tensor flat = flat(received);
    for (int i = 0; i < rows.count(); i++) {
      int row = rows.index()[i];
      int source = rows.rank()[i];
      int token = rows.token()[i];
      Tensor actual = flat.rows(row, row + 1);
      boolean same =
          load.dtype() == Workload.Wire.BF16
              ? Arrays.equals(actual.toShorts(), pattern.bf16(source, token, 1))
              : Arrays.equals(actual.toBytes(), pattern.fp8(source, token));
      require(same, "row " + row + " is not token " + token + " of rank " + source);
    }
  }

  /** Sums that a combine returned: each token's row times the number of rows that it had. */
  final void checkSums(Tensor combined, boolean perExpert) {
    for (int token = 0; token < load.tokens(); token++) {
      int terms = perExpert ? load.topk() : routing.ranksOf(rank, token);
      require(
          Arrays.equals(
              combined.rows(token, token + 1).toShorts(), pattern.bf16(rank, token, terms)),
          "the sum of token " + token + " is not " + terms + " times its row");
    }
  }

  final void require(boolean holds, String otherwise) {
    if (!holds) {
      throw new IllegalStateException("wrong result on rank " + rank + ": " + otherwise);
    }
  }

  private Tensor flat(Tensor rows) {
    return rows.view(
        new long[] {rows.numElements() / load.hidden(), load.hidden()},
        new long[] {load.hidden(), 1});
  }

  @Override
  public void close() {
    buffer.close();
    x.close();
    scales.close();
    topkIdx.close();
    topkWeights.close();
  }
}
