package io.github.deepep4j.bench;

import io.github.deepep4j.group.ProcessGroup;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/**
 * What a hook is for: a kernel between the halves of a low-latency operation, on the same stream.
 * Reported beside the whole: the kernel alone, the same in sequence without a hook, and what is
 * hidden, the sequence less the whole. Only on GPUs.
 */
public class LowLatencyOverlap extends Collective {
  /** {@code dispatch} or {@code combine}. */
  @Param("dispatch")
  public String operation = "";

  /** Rows of H BF16 elements that each rank's kernel copies. */
  @Param("2048")
  public int computeRows;

  /** Multiprocessors that each rank's kernel uses. */
  @Param("32")
  public int computeSms;

  @Override
  RankWork work(Workload load, Routing routes, ProcessGroup group) {
    if (!load.place().cuda()) {
      throw new IllegalArgumentException("overlap is measured on GPUs, backend must be cuda");
    }
    return new LowLatencyOverlapRank(
        load,
        routes,
        group,
        operation(),
        new LowLatencyOverlapRank.Compute(computeRows, computeSms));
  }

  private LowLatencyRank.Operation operation() {
    return Choice.of("operation", operation, "combine", "dispatch")
        ? LowLatencyRank.Operation.DISPATCH
        : LowLatencyRank.Operation.COMBINE;
  }

  @Override
  Traffic traffic(Workload load, Routing routes) {
    long rowBytes =
        operation() == LowLatencyRank.Operation.DISPATCH
            ? load.dispatchRowBytes()
            : load.combineRowBytes();
    return Traffic.of(routes, rowBytes, true);
  }

  @Override
  boolean waitsOnHost() {
    return false;
  }

  /** One operation of all ranks, around a kernel. */
  @Benchmark
  public long lowLatencyOverlap() {
    return round();
  }
}
