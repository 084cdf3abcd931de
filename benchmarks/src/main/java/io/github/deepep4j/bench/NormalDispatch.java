package io.github.deepep4j.bench;

import io.github.deepep4j.group.ProcessGroup;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** Dispatch in normal mode, until the rows are there. */
public class NormalDispatch extends Collective {
  /** {@code cached} over a handle, {@code exact} with routing and counts. */
  @Param("cached")
  public String routing = "";

  /** {@code rank}-major or {@code expert}-major. */
  @Param("rank")
  public String order = "";

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
            Choice.of("order", order, "rank", "expert"),
            Choice.of("routing", routing, "exact", "cached"),
            Choice.of("memory", memory, "borrowed", "owned")));
  }

  @Override
  Traffic traffic(Workload load, Routing routes) {
    return Traffic.of(routes, load.dispatchRowBytes(), order.equals("expert"));
  }

  /** One dispatch of all ranks. */
  @Benchmark
  public long dispatch() {
    return round();
  }
}
