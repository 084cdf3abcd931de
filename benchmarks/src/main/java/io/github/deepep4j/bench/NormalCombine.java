package io.github.deepep4j.bench;

import io.github.deepep4j.group.ProcessGroup;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** Combine in normal mode. */
public class NormalCombine extends Collective {
  /** {@code rank}-major or {@code expert}-major. */
  @Param("rank")
  public String order = "";

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
            Choice.of("order", order, "rank", "expert"),
            Choice.of("input", input, "staged", "zerocopy"),
            Choice.of("weights", weights, "plain", "weighted")));
  }

  @Override
  Traffic traffic(Workload load, Routing routes) {
    return Traffic.of(routes, load.combineRowBytes(), order.equals("expert"));
  }

  /** One combine of all ranks. */
  @Benchmark
  public long combine() {
    return round();
  }
}
