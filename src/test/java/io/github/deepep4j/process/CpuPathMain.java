package io.github.deepep4j.process;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.Ep4j;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.LowLatencyRound.Routing;
import io.github.deepep4j.fixtures.LowLatencyShapes;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.process.SurvivorRounds.Lost;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import java.time.Duration;
import java.util.List;
import java.util.SplittableRandom;

/** Both modes on a group of threads, the device chosen automatically: the whole CPU path. */
final class CpuPathMain {
  private CpuPathMain() {}

  /**
   * Runs it once.
   *
   * @param args {@code availability} to ask for the backends' states first
   */
  public static void main(String[] args) {
    if (List.of(args).contains("availability")) {
      RoundTripRank.require(!Ep4j.availability().isEmpty(), "no backend is known");
    }
    Shape shape = new Shape(2, 8, 16, 128, 3);
    LowLatencyRound round = LowLatencyRound.of(shape, Routing.SPREAD, new SplittableRandom(5));
    Duration ample = Duration.ofSeconds(60);
    LocalGroup.run(
        2,
        group -> {
          try (Buffer buffer =
              Buffer.create(group, LowLatencyShapes.options(shape).timeout(ample))) {
            SurvivorRounds rounds = new SurvivorRounds(buffer, group.rank(), ample);
            rounds.normal(round, Lost.NOBODY, -1);
            rounds.lowLatency(round, Lost.NOBODY, -1);
          }
        });
  }
}
