package io.github.deepep4j.bench;

import io.github.deepep4j.group.ProcessGroup;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** Dispatch in normal mode, until the rows are there. */
public class NormalDispatch extends Normal {
  /** {@code cached} over a handle, {@code exact} with routing and counts. */
  @Param("cached")
  public String routing = "";

  /** {@code borrowed}, or {@code owned}: copied to the caller's tensor. */
  @Param("borrowed")
  public String memory = "";

  @Override
  RankWork work(Workload load, Routing routes, ProcessGroup group) {
    return new NormalRank.Dispatch(
        load,
        routes,
        group,
        new NormalRank.Dispatch.Form(
            expertMajor(), cached(), Choice.of("memory", memory, "borrowed", "owned")));
  }

  private boolean cached() {
    return Choice.of("routing", routing, "exact", "cached");
  }

  @Override
  long rowBytes(Workload load) {
    return load.dispatchRowBytes();
  }

  @Override
  boolean waitsOnHost() {
    return !cached();
  }

  /** One dispatch of all ranks. */
  @Benchmark
  public long dispatch() {
    return round();
  }
}
