package io.github.deepep4j.bench;

import io.github.deepep4j.group.ProcessGroup;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** Combine in normal mode. */
public class NormalCombine extends Normal {
  /** {@code zerocopy}: the experts wrote into the buffer's region; {@code staged}: copied there. */
  @Param("zerocopy")
  public String input = "";

  /** {@code plain} or {@code weighted}. */
  @Param("plain")
  public String weights = "";

  @Override
  RankWork work(Workload load, Routing routes, ProcessGroup group) {
    return new NormalRank.Combine(
        load,
        routes,
        group,
        new NormalRank.Combine.Form(
            expertMajor(),
            Choice.of("input", input, "staged", "zerocopy"),
            Choice.of("weights", weights, "plain", "weighted")));
  }

  @Override
  long rowBytes(Workload load) {
    return load.combineRowBytes();
  }

  @Override
  boolean waitsOnHost() {
    return false;
  }

  /** One combine of all ranks. */
  @Benchmark
  public long combine() {
    return round();
  }
}
