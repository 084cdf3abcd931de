package io.github.deepep4j.bench;

import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;

/** What the benchmarks of normal mode share: the order of the rows, and with it what moves. */
@State(Scope.Benchmark)
public abstract class Normal extends Collective {
  /** {@code rank}-major or {@code expert}-major. */
  @Param("rank")
  public String order = "";

  final boolean expertMajor() {
    return Choice.of("order", order, "rank", "expert");
  }

  /** Bytes of a row on its way. */
  abstract long rowBytes(Workload load);

  @Override
  final Traffic traffic(Workload load, Routing routes) {
    return Traffic.of(routes, rowBytes(load), expertMajor());
  }
}
