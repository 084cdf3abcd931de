package io.github.deepep4j.process;

import static io.github.deepep4j.process.RoundTripRank.require;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.TimeoutPolicy;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.LowLatencyRound.Routing;
import io.github.deepep4j.fixtures.LowLatencyShapes;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.group.TcpGroup;
import io.github.deepep4j.process.SurvivorRounds.Lost;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import java.time.Duration;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * One rank as a JVM and a PE of NVSHMEM. The test kills the victim between its calls, or the victim
 * never closes its buffer; the others go on without it, close, and find that NVSHMEM is abandoned.
 */
final class NvshmemLossRank {
  private static final Duration AMPLE = Duration.ofSeconds(60);
  private static final int HEALTHY_ROUNDS = 3;
  private static final int ROUNDS_WITHOUT = 4;

  private NvshmemLossRank() {}

  /**
   * Joins the group and plays its part.
   *
   * @param args the victim; the buffer's deadline in milliseconds
   * @throws Exception fails the rank
   */
  public static void main(String[] args) throws Exception {
    int victim = Integer.parseInt(args[0]);
    Duration deadline = Duration.ofMillis(Long.parseLong(args[1]));
    TcpGroup group = TcpGroup.environment().timeout(AMPLE).build();
    Shape shape = new Shape(group.size(), 4 * group.size(), 16, 64, 3);
    BufferOptions options =
        LowLatencyShapes.options(shape).timeout(deadline).onTimeout(TimeoutPolicy.MASK);
    Buffer buffer = TestDevice.build(group, options);
    SplittableRandom random = new SplittableRandom(20_26);
    for (int i = 0; i < HEALTHY_ROUNDS; i++) {
      new SurvivorRounds(buffer, group.rank(), AMPLE)
          .lowLatency(LowLatencyRound.of(shape, Routing.GAPS, random), Lost.NOBODY, -1);
    }
    group.barrier();
    System.out.println("READY");
    require(System.in.read() >= 0, "the test is gone");
    if (group.rank() == victim) {
      Runtime.getRuntime().halt(0); // alive until now, and without having closed anything
    }
    long start = System.nanoTime();
    SurvivorRounds without = new SurvivorRounds(buffer, group.rank(), deadline);
    for (int i = 0; i < ROUNDS_WITHOUT; i++) {
      without.lowLatency(
          LowLatencyRound.of(shape, Routing.GAPS, random), Lost.BEFORE_COUNTS, victim);
    }
    System.out.println("WENT ON " + millisSince(start));
    require(buffer.maskedRanks().equals(Set.of(victim)), "" + buffer.maskedRanks());
    start = System.nanoTime();
    buffer.close();
    System.out.println("CLOSED " + millisSince(start));
    requireAbandoned(options);
    System.out.println("ABANDONED");
    Runtime.getRuntime().halt(0);
  }

  /** No buffer over NVSHMEM can be made any more, not even alone. */
  private static void requireAbandoned(BufferOptions options) {
    LocalGroup.run(
        1,
        alone -> {
          try (Buffer again = TestDevice.build(alone, options)) {
            throw new AssertionError("made after NVSHMEM was abandoned, on " + again.device());
          } catch (EpException e) {
            String message = String.valueOf(e.getMessage());
            require(message.contains("NVSHMEM was abandoned on rank 0"), message);
          }
        });
  }

  private static long millisSince(long nanos) {
    return (System.nanoTime() - nanos) / 1_000_000;
  }
}
