package io.github.deepep4j.bench;

import io.github.deepep4j.group.ProcessGroup;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;

/** The low-latency mode. */
public class LowLatency extends Collective {
  /**
   * {@code dispatch}, {@code combine} or {@code pair}; or one half: {@code dispatchSend}, {@code
   * dispatchReceive}, {@code combineSend} or {@code combineReceive}.
   */
  @Param("pair")
  public String operation = "";

  @Override
  RankWork work(Workload load, Routing routes, ProcessGroup group) {
    return new LowLatencyRank(load, routes, group, operation());
  }

  private LowLatencyRank.Operation operation() {
    return LowLatencyRank.Operation.of(operation);
  }

  @Override
  Traffic traffic(Workload load, Routing routes) {
    Traffic there = Traffic.of(routes, load.dispatchRowBytes(), true);
    Traffic back = Traffic.of(routes, load.combineRowBytes(), true);
    if (operation() == LowLatencyRank.Operation.PAIR) {
      return there.plus(back);
    }
    return operation().combines ? back : there;
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
