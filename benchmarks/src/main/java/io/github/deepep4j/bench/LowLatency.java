package io.github.deepep4j.bench;

import io.github.deepep4j.group.ProcessGroup;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** The low-latency mode. */
public class LowLatency extends Collective {
  /** {@code dispatch}, {@code combine} or {@code pair}. */
  @Param("pair")
  public String operation = "";

  @Override
  RankWork work(Workload load, Routing routes, ProcessGroup group) {
    return switch (operation) {
      case "dispatch" -> new LowLatencyRank.Dispatch(load, routes, group);
      case "combine" -> new LowLatencyRank.Combine(load, routes, group);
      case "pair" -> new LowLatencyRank.Pair(load, routes, group);
      default ->
          throw new IllegalArgumentException(
              "operation must be dispatch, combine or pair: " + operation);
    };
  }

  @Override
  Traffic traffic(Workload load, Routing routes) {
    Traffic there = Traffic.of(routes, load.dispatchRowBytes(), true);
    Traffic back = Traffic.of(routes, load.combineRowBytes(), true);
    return switch (operation) {
      case "dispatch" -> there;
      case "combine" -> back;
      default -> there.plus(back);
    };
  }

  /** One operation, or pair of them, of all ranks. */
  @Benchmark
  public long lowLatency() {
    return round();
  }
}
