package io.github.deepep4j.bench;

import com.sun.management.ThreadMXBean;
import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CallOptions;
import io.github.deepep4j.DeviceMemory;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.Event;
import io.github.deepep4j.Stream;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;

/**
 * One rank of a benchmark: its buffer, its inputs, and the operation that is measured. Every method
 * runs on the rank's thread. Steps that copy to or from a device and steps that wait for other
 * ranks are apart, so that the ranks can do each together.
 */
abstract class RankWork implements AutoCloseable {
  /** Salt of the inputs that are measured. */
  static final int MEASURED = 1;

  /** Salt of the inputs on which the result is checked. */
  private static final int CHECKED = 2;

  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

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
  private long issueNanos;
  private long hostNanos;
  private long heapBytes;
  Pattern pattern;

  /** Makes the buffer, together with the other ranks, and the inputs. */
  RankWork(Workload load, Routing routing, ProcessGroup group, BufferOptions options) {
    this.load = load;
    this.routing = routing;
    this.rank = group.rank();
    this.buffer =
        Buffer.builder(group).options(options.timeout(TIMEOUT)).device(load.deviceOf(rank)).build();
    buffer.warmUp();
    boolean given = load.dtype() == Workload.Wire.FP8;
    x = allocate(given ? DType.FP8_E4M3 : DType.BF16, load.tokens(), load.hidden());
    scales = allocate(DType.FLOAT32, load.tokens(), given ? load.scaleWords() : 0);
    topkIdx = placed(Tensor.copyOf(routing.topkIdx(rank), load.tokens(), load.topk()));
    float[] ones = new float[load.tokens() * load.topk()];
    Arrays.fill(ones, 1f);
    topkWeights = placed(Tensor.copyOf(ones, load.tokens(), load.topk()));
    pattern = new Pattern(load, MEASURED);
    fillInput();
  }

  /** Options of every benchmark's buffer. */
  static BufferOptions options(Workload load) {
    return BufferOptions.of(load.experts(), load.hidden(), load.tokens())
        .maxTopk(load.topk())
        .maxExpertAlignment(1)
        .ranksPerNode(load.ranksPerNode());
  }

  /** What comes once before the first operation; collective. */
  void open() {}

  /** What comes before each operation and is no part of it; collective. */
  void prepare() {}

  /** The operation that is measured; collective. Its result stays open. */
  abstract void issue();

  /** Whether there is a {@link #issueReference} to compare the operation with. */
  boolean hasReference() {
    return false;
  }

  /** What the operation is compared with, in its place; collective. */
  void issueReference() {
    throw new UnsupportedOperationException("no reference");
  }

  /** The part of operation and reference that is no communication. */
  void compute() {
    throw new UnsupportedOperationException("nothing is computed");
  }

  /** Marks the end of the open result's work. */
  abstract Event event();

  /** Compares the open result with the closed form. */
  abstract void compare();

  /** Closes the open result. */
  abstract void release();

  /** One operation until its result is complete and closed. */
  final void call() {
    long before = THREADS.getCurrentThreadAllocatedBytes();
    prepare();
    heapBytes += THREADS.getCurrentThreadAllocatedBytes() - before;
    if (!buffer.device().isCpu()) {
      DeviceMemory.synchronize(stream()); // the call finds an idle stream, as C's does
    }
    before = THREADS.getCurrentThreadAllocatedBytes();
    long begin = System.nanoTime();
    issue();
    issueNanos = System.nanoTime() - begin;
    await();
    hostNanos = System.nanoTime() - begin;
    release();
    heapBytes += THREADS.getCurrentThreadAllocatedBytes() - before;
  }

  /** Java heap that all {@link #call}s so far have allocated on the rank's thread. */
  final long heapBytes() {
    return heapBytes;
  }

  /** What the last {@link #call} took on the host to be issued. */
  final long issueNanos() {
    return issueNanos;
  }

  /** What the last {@link #call} took on the host until its result was there. */
  final long hostNanos() {
    return hostNanos;
  }

  /** Waits for the open result and closes it. */
  final void finish() {
    await();
    release();
  }

  /** Waits for the open result. */
  final void await() {
    event().synchronize();
  }

  /** Changes the inputs; no operation is under way. */
  final void change() {
    pattern = new Pattern(load, CHECKED);
    filled.clear();
    fillInput();
  }

  private void fillInput() {
    Tensor rows = hostOf(x);
    Tensor rowScales = hostOf(scales);
    for (int token = 0; token < load.tokens(); token++) {
      Tensor row = rows.rows(token, token + 1);
      if (load.dtype() == Workload.Wire.FP8) {
        row.copyFrom(pattern.fp8(rank, token));
        rowScales.rows(token, token + 1).copyFrom(pattern.scales(rank, token));
      } else {
        row.copyFrom(pattern.bf16(rank, token, 1));
      }
    }
    place(rows, x);
    place(rowScales, scales);
  }

  /** Memory of the rank's device. */
  final Tensor allocate(DType dtype, long... shape) {
    return DeviceMemory.allocate(buffer.device(), dtype, shape);
  }

  /** The same values on the rank's device; takes the tensor over. */
  private Tensor placed(Tensor host) {
    if (buffer.device().isCpu()) {
      return host;
    }
    try (host) {
      return DeviceMemory.copyOf(host, buffer.device());
    }
  }

  /** Host memory to prepare a tensor's values in: itself, where it is the host's. */
  private static Tensor hostOf(Tensor tensor) {
    return tensor.device().isCpu() ? tensor : Tensor.zeros(tensor.dtype(), tensor.shape());
  }

  /** Brings prepared values where they belong. */
  private static void place(Tensor host, Tensor tensor) {
    if (!tensor.device().isCpu()) {
      try (host) {
        DeviceMemory.copy(host, tensor);
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

  /** The call's options with the benchmark's number of multiprocessors. */
  final <S extends CallOptions<S>> S withSms(S options) {
    return load.sms() > 0 ? options.numSms(load.sms()) : options;
  }

  /** Where the operation runs. */
  final Stream stream() {
    return buffer.stream();
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
    Tensor host = hostOf(y);
    Tensor flat = flat(host);
    for (int i = 0; i < rows.count(); i++) {
      int row = rows.index()[i];
      flat.rows(row, row + 1).copyFrom(pattern.bf16(rows.rank()[i], rows.token()[i], 1));
    }
    if (!y.device().isCpu()) {
      DeviceMemory.synchronize(stream()); // its last readers
    }
    place(host, y);
  }

  /** A device's values, to be compared; itself, where it is the host's. */
  final Tensor read(Tensor tensor) {
    return tensor.device().isCpu() ? tensor : DeviceMemory.toHost(tensor);
  }

  /** Rows that a dispatch delivered. */
  final void checkRows(Tensor received, Routing.Rows rows) {
    Tensor flat = flat(read(received));
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
    Tensor sums = read(combined);
    for (int token = 0; token < load.tokens(); token++) {
      int terms = perExpert ? load.topk() : routing.ranksOf(rank, token);
      require(
          Arrays.equals(sums.rows(token, token + 1).toShorts(), pattern.bf16(rank, token, terms)),
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
