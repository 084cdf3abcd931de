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
 * microseconds; GB/s per rank, from the median time; the ratio is the plain copy's median time over
 * the operation's, for the bytes that the operation moves. The same ratio of the fastest rounds
 * says what a busy machine hides. Heap bytes are those of all ranks' threads together; JMH's own gc
 * profiler would count the checks at a benchmark's end, too.
 */
public final class MeterProfiler implements InternalProfiler {
  static final String P50 = "us.p50";
  static final String P90 = "us.p90";
  static final String P99 = "us.p99";
  static final String PER_TOKEN_RANK = "gbps.perTokenRank";
  static final String PER_TOKEN_EXPERT = "gbps.perTokenExpert";
  static final String MOVED = "gbps.moved";
  static final String COPY = "gbps.plainCopy";
  static final String HEAP = "heapBytesPerOperation";
  static final String RATIO = "ratio.toPlainCopy";
  static final String RATIO_OF_BEST = "ratio.ofFastest";

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
    if (meter.operations.count() == 0 || meter.copies.count() == 0) {
      return List.of();
    }
    double median = meter.operations.percentile(50);
    double copy = meter.copies.percentile(50);
    Traffic bytes = meter.traffic();
    List<ScalarResult> results = new ArrayList<>();
    add(results, P50, median / 1e3, "us");
    add(results, P90, meter.operations.percentile(90) / 1e3, "us");
    add(results, P99, meter.operations.percentile(99) / 1e3, "us");
    add(results, PER_TOKEN_RANK, bytes.perTokenRank() / median, "GB/s");
    add(results, PER_TOKEN_EXPERT, bytes.perTokenExpert() / median, "GB/s");
    add(results, MOVED, bytes.moved() / median, "GB/s");
    add(results, COPY, bytes.moved() / copy, "GB/s");
    add(results, HEAP, (double) meter.heapBytes / meter.operations.count(), "B");
    add(results, RATIO, copy / median, "x");
    add(results, RATIO_OF_BEST, meter.copies.fastest() / meter.operations.fastest(), "x");
    return results;
  }

  private static void add(List<ScalarResult> results, String name, double value, String unit) {
    results.add(new ScalarResult(name, value, unit, AggregationPolicy.AVG));
  }

  @Override
  public String getDescription() {
    return "percentiles, GB/s and the ratio to a plain copy";
  }
}
