package io.github.deepep4j.bench;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import org.openjdk.jmh.infra.BenchmarkParams;
import org.openjdk.jmh.infra.IterationParams;
import org.openjdk.jmh.profile.InternalProfiler;
import org.openjdk.jmh.results.AggregationPolicy;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.ScalarResult;

/**
 * Secondary results of each iteration, averaged over iterations and forks by JMH. Times in
 * microseconds; GB/s per rank, from the median time, which is the GPU's where there is one; ratios
 * are the yardstick's median time over the operation's, for the bytes that the operation moves. The
 * same ratio of the fastest rounds says what a busy machine hides. Heap bytes are those that the
 * ranks' threads allocate; JMH's own gc profiler would count the checks at a benchmark's end, too.
 */
public final class MeterProfiler implements InternalProfiler {
  static final String P50 = "us.p50";
  static final String P90 = "us.p90";
  static final String P99 = "us.p99";
  static final String CALL = "us.call";
  static final String GPU_P50 = "us.gpu.p50";
  static final String GPU_P90 = "us.gpu.p90";
  static final String GPU_P99 = "us.gpu.p99";
  static final String SEQUENCE = "us.gpu.inSequence";
  static final String COMPUTE = "us.gpu.compute";
  static final String HIDDEN = "us.gpu.hidden";
  static final String PER_TOKEN_RANK = "gbps.perTokenRank";
  static final String PER_TOKEN_EXPERT = "gbps.perTokenExpert";
  static final String MOVED = "gbps.moved";
  static final String NETWORK = "gbps.network";
  static final String NETWORK_AS_V1 = "gbps.networkAsV1";
  static final String WITH_HOST = "gbps.withHost";
  static final String PLAIN_COPY = "gbps.plainCopy";
  static final String ROW_COPY = "gbps.rowCopy";
  static final String HEAP = "heapBytesPerOperation";
  static final String HEAP_OF_RANK = "heapBytesPerRank";
  static final String TO_PLAIN_COPY = "ratio.toPlainCopy";
  static final String OF_BEST = "ratio.ofFastest";
  static final String OF_ROW_COPY = "ratio.ofRowCopy";

  /** All, in the order of the result file. */
  static final List<String> ALL =
      List.of(
          P50,
          P90,
          P99,
          CALL,
          GPU_P50,
          GPU_P90,
          GPU_P99,
          SEQUENCE,
          COMPUTE,
          HIDDEN,
          PER_TOKEN_RANK,
          PER_TOKEN_EXPERT,
          MOVED,
          NETWORK,
          NETWORK_AS_V1,
          WITH_HOST,
          PLAIN_COPY,
          ROW_COPY,
          TO_PLAIN_COPY,
          OF_BEST,
          OF_ROW_COPY,
          HEAP,
          HEAP_OF_RANK);

  /** Made by JMH. */
  public MeterProfiler() {}

  @Override
  public void beforeIteration(BenchmarkParams benchmark, IterationParams iteration) {
    // The benchmark's own setup starts the meter.
  }

  @Override
  public Collection<? extends Result<?>> afterIteration(
      BenchmarkParams benchmark, IterationParams iteration, IterationResult result) {
    Meter meter = Meter.CURRENT;
    if (meter.operations.count() == 0) {
      return List.of();
    }
    boolean onGpu = meter.gpu.count() > 0;
    double whole = meter.operations.percentile(50);
    double median = onGpu ? meter.gpu.percentile(50) : whole;
    Traffic bytes = meter.traffic();
    List<ScalarResult> results = new ArrayList<>();
    addTimes(results, meter.operations, P50, P90, P99);
    add(results, CALL, meter.calls.percentile(50) / 1e3, "us");
    add(results, PER_TOKEN_RANK, bytes.perTokenRank() / median, "GB/s");
    add(results, PER_TOKEN_EXPERT, bytes.perTokenExpert() / median, "GB/s");
    add(results, MOVED, bytes.moved() / median, "GB/s");
    if (bytes.network() > 0) {
      add(results, NETWORK, bytes.network() / median, "GB/s");
      add(results, NETWORK_AS_V1, bytes.networkAsV1() / median, "GB/s");
    }
    double heap = (double) meter.heapBytes / meter.operations.count();
    add(results, HEAP, heap, "B");
    add(results, HEAP_OF_RANK, heap / meter.ranks(), "B");
    if (onGpu) {
      addTimes(results, meter.gpu, GPU_P50, GPU_P90, GPU_P99);
      add(results, WITH_HOST, bytes.moved() / whole, "GB/s");
    }
    if (meter.references.count() > 0) {
      double sequence = meter.references.percentile(50);
      add(results, SEQUENCE, sequence / 1e3, "us");
      add(results, COMPUTE, meter.computes.percentile(50) / 1e3, "us");
      add(results, HIDDEN, (sequence - median) / 1e3, "us");
    }
    if (meter.copies.count() > 0) {
      double copy = meter.copies.percentile(50);
      add(results, onGpu ? ROW_COPY : PLAIN_COPY, bytes.moved() / copy, "GB/s");
      add(results, onGpu ? OF_ROW_COPY : TO_PLAIN_COPY, copy / median, "x");
      double fastest = onGpu ? meter.gpu.fastest() : meter.operations.fastest();
      add(results, OF_BEST, meter.copies.fastest() / fastest, "x");
    }
    return results;
  }

  private static void addTimes(
      List<ScalarResult> results, Samples samples, String p50, String p90, String p99) {
    add(results, p50, samples.percentile(50) / 1e3, "us");
    add(results, p90, samples.percentile(90) / 1e3, "us");
    add(results, p99, samples.percentile(99) / 1e3, "us");
  }

  private static void add(List<ScalarResult> results, String name, double value, String unit) {
    results.add(new ScalarResult(name, value, unit, AggregationPolicy.AVG));
  }

  @Override
  public String getDescription() {
    return "percentiles, GB/s and the ratio to a plain copy";
  }
}
