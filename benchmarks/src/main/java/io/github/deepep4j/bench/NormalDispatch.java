package io.github.deepep4j.bench;

import io.github.deepep4j.group.ProcessGroup;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** Dispatch in normal mode, until the rows are there. */
public class NormalDispatch extends Normal {
  /**
   * {@code cached} over a handle; with routing, {@code exact}, which waits for the counts on the
   * host, or {@code bounded}, which doesn't.
   */
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
            expertMajor(), counting(), Choice.of("memory", memory, "borrowed", "owned")));
  }

  private NormalRank.Dispatch.Counting counting() {
    return switch (routing) {
      case "cached" -> NormalRank.Dispatch.Counting.CACHED;
      case "exact" -> NormalRank.Dispatch.Counting.EXACT;
      case "bounded" -> NormalRank.Dispatch.Counting.BOUNDED;
      default ->
          throw new IllegalArgumentException(
              "routing must be cached, exact or bounded: " + routing);
    };
  }

  @Override
  long rowBytes(Workload load) {
    return load.dispatchRowBytes();
  }

  @Override
  boolean waitsOnHost() {
    return counting() == NormalRank.Dispatch.Counting.EXACT;
  }

  /** One dispatch of all ranks. */
  @Benchmark
  public long dispatch() {
    return round();
  }
}
