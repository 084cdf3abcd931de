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
    return new LowLatencyRank(load, routes, group, operation());
  }

  private LowLatencyRank.Operation operation() {
    return switch (operation) {
      case "dispatch" -> LowLatencyRank.Operation.DISPATCH;
      case "combine" -> LowLatencyRank.Operation.COMBINE;
      case "pair" -> LowLatencyRank.Operation.PAIR;
      default ->
          throw new IllegalArgumentException(
              "operation must be dispatch, combine or pair: " + operation);
    };
  }

  @Override
  Traffic traffic(Workload load, Routing routes) {
    Traffic there = Traffic.of(routes, load.dispatchRowBytes(), true);
    Traffic back = Traffic.of(routes, load.combineRowBytes(), true);
    return switch (operation()) {
      case DISPATCH -> there;
      case COMBINE -> back;
      case PAIR -> there.plus(back);
    };
  }

  @Override
  boolean waitsOnHost() {
    return false;
  }

  /** One operation, or pair of them, of all ranks. */
  @Benchmark
  public long lowLatency() {
    return round();
  }
}
