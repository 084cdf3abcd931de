package io.github.deepep4j.process;

import static io.github.deepep4j.process.RoundTripRank.require;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.LowLatencyDispatch;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.TimeoutPolicy;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpMaskedException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.LowLatencyRound.Routing;
import io.github.deepep4j.fixtures.LowLatencyShapes;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.group.TcpGroup;
import io.github.deepep4j.process.SurvivorRounds.Lost;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import java.io.IOException;
import java.time.Duration;
import java.util.Arrays;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.concurrent.locks.LockSupport;

/**
 * One rank as a JVM in a group of which the test kills or stops another, the victim. Prints what it
 * sees for the test to read.
 */
final class FaultRank {
  static final int VICTIM = 1;
  private static final Duration AMPLE = Duration.ofSeconds(60);

  /** Where the backends wait inside a dispatch. */
  private static final Set<String> WAITING = Set.of("Waits", "HostCounts");

  private final ProcessGroup group;
  private final Buffer buffer;
  private final int self;
  private final Shape shape;
  private final SplittableRandom random = new SplittableRandom(20_26);

  private FaultRank(ProcessGroup group, Buffer buffer, Shape shape) {
    this.group = group;
    this.buffer = buffer;
    this.self = group.rank();
    this.shape = shape;
  }

  /**
   * Joins the group and plays its part.
   *
   * @param args scenario; what to do at a deadline; the deadline of the calls that lose the victim,
   *     in milliseconds
   * @throws Exception fails the rank
   */
  public static void main(String[] args) throws Exception {
    TimeoutPolicy policy = TimeoutPolicy.valueOf(args[1]);
    Duration deadline = Duration.ofMillis(Long.parseLong(args[2]));
    // Closed one by one at the end: how long that takes is part of the test.
    TcpGroup group = TcpGroup.environment().timeout(AMPLE).build();
    Shape shape = new Shape(group.size(), 4 * group.size(), 16, 64, 3);
    BufferOptions options = LowLatencyShapes.options(shape);
    Buffer buffer = TestDevice.build(group, options.timeout(AMPLE).onTimeout(policy));
    FaultRank rank = new FaultRank(group, buffer, shape);
    rank.healthy();
    if (group.rank() == VICTIM) {
      rank.victim(args[0]);
    } else {
      rank.survive(args[0], policy, deadline);
    }
    long start = System.nanoTime();
    buffer.close();
    group.close();
    System.out.println("CLOSED " + millisSince(start));
    worksAlone(options);
  }

  /** What happened to the buffer has not harmed the process or its device. */
  private static void worksAlone(BufferOptions options) {
    LocalGroup.run(
        1,
        alone -> {
          try (Buffer again = TestDevice.build(alone, options)) {
            Shape shape = new Shape(1, options.numExperts(), 16, options.hidden(), 3);
            LowLatencyRound round =
                LowLatencyRound.of(shape, Routing.GAPS, new SplittableRandom(1));
            new SurvivorRounds(again, 0, AMPLE).normal(round, Lost.NOBODY, -1);
          }
        });
  }

  private LowLatencyRound round() {
    return LowLatencyRound.of(shape, Routing.GAPS, random);
  }

  private SurvivorRounds rounds(Duration deadline) {
    return new SurvivorRounds(buffer, self, deadline);
  }

  private void healthy() {
    for (int i = 0; i < 2; i++) {
      everyMode(Lost.NOBODY, -1);
    }
    group.barrier();
  }

  private void everyMode(Lost lost, int lostRank) {
    rounds(AMPLE).normal(round(), lost, lostRank);
    rounds(AMPLE).lowLatency(round(), lost, lostRank);
  }

  private static void awaitGo() throws IOException {
    require(System.in.read() >= 0, "the test is gone");
  }

  private void victim(String scenario) throws IOException, InterruptedException {
    switch (scenario) {
      case "in-dispatch" -> {
        sayReadyOnceWaiting(Thread.currentThread());
        rounds(AMPLE).normal(round(), Lost.NOBODY, -1);
      }
      case "in-low-latency" -> {
        LowLatencyRound round = round();
        try (LowLatencyRank rank = new LowLatencyRank(buffer, self, true);
            LowLatencyDispatch sent =
                rank.dispatch(round, LowLatencyDispatchOptions.defaults().hook())) {
          System.out.println("READY");
          sent.receive();
          sent.event().synchronize(); // on a GPU only this blocks
        }
      }
      case "outside" -> {
        System.out.println("READY");
        Thread.sleep(10 * AMPLE.toMillis());
      }
      case "stopped" -> {
        System.out.println("READY");
        returnsLate();
        return;
      }
      default -> throw new IllegalArgumentException(scenario);
    }
    throw new AssertionError("the victim has survived");
  }

  /** The first wait of a dispatch is for the others' counts: then its own are out. */
  private static void sayReadyOnceWaiting(Thread caller) {
    Thread watcher =
        new Thread(
            () -> {
              while (Arrays.stream(caller.getStackTrace())
                  .noneMatch(frame -> WAITING.contains(simpleName(frame.getClassName())))) {
                LockSupport.parkNanos(1_000_000);
              }
              System.out.println("READY");
            });
    watcher.setDaemon(true);
    watcher.start();
  }

  private static String simpleName(String className) {
    return className.substring(className.lastIndexOf('.') + 1);
  }

  /** Goes on when the others have given it up. */
  private void returnsLate() throws IOException {
    awaitGo();
    try {
      rounds(AMPLE).normal(round(), Lost.NOBODY, -1);
      throw new AssertionError("a masked rank took part in a dispatch");
    } catch (EpMaskedException e) {
      require(e.maskedRank() == VICTIM, "masked is " + e.maskedRank());
      System.out.println("MASKED " + e.getMessage());
    }
  }

  private void survive(String scenario, TimeoutPolicy policy, Duration deadline)
      throws IOException {
    System.out.println("READY");
    awaitGo();
    long start = System.nanoTime();
    if (policy == TimeoutPolicy.THROW) {
      requireTimeout(scenario, deadline);
      System.out.println("CAUGHT " + millisSince(start));
      // The buffer has failed: the same again, at once.
      long again = System.nanoTime();
      requireTimeout("outside", AMPLE);
      require(millisSince(again) < 5_000, "the second failure took " + millisSince(again) + " ms");
      require(buffer.statistics().windowBytes() > 0, "no statistics after a failure");
    } else {
      loseOne(scenario, deadline);
      System.out.println("WENT ON " + millisSince(start));
      require(buffer.maskedRanks().equals(Set.of(VICTIM)), "" + buffer.maskedRanks());
    }
    if (!scenario.equals("stopped")) {
      requireGroupIsBroken();
    }
  }

  private void requireTimeout(String scenario, Duration deadline) {
    try {
      if (scenario.equals("in-low-latency")) {
        rounds(deadline).lowLatency(round(), Lost.AFTER_ROWS, VICTIM);
      } else {
        rounds(deadline).normal(round(), Lost.BEFORE_COUNTS, VICTIM);
      }
      throw new AssertionError("nothing was thrown though the victim is gone");
    } catch (EpTimeoutException e) {
      require(e.culprit() == VICTIM, "the culprit is " + e.culprit() + ": " + e.getMessage());
    }
  }

  /** The call that loses the victim, and more without it. */
  private void loseOne(String scenario, Duration deadline) {
    switch (scenario) {
      case "in-dispatch" -> rounds(deadline).normal(round(), Lost.AFTER_COUNTS, VICTIM);
      case "in-low-latency" -> rounds(deadline).lowLatency(round(), Lost.AFTER_ROWS, VICTIM);
      default -> rounds(deadline).normal(round(), Lost.BEFORE_COUNTS, VICTIM);
    }
    System.out.println("LOST");
    for (int i = 0; i < 4; i++) {
      everyMode(Lost.BEFORE_COUNTS, VICTIM);
    }
  }

  private void requireGroupIsBroken() {
    try {
      group.barrier();
      throw new AssertionError("a barrier without the victim");
    } catch (EpException e) {
      String message = String.valueOf(e.getMessage());
      require(e.code() == EpException.Code.GROUP, message);
      require(message.contains("rank " + VICTIM + "'s connection ended"), message);
      System.out.println("GROUP " + message);
    }
  }

  private static long millisSince(long nanos) {
    return (System.nanoTime() - nanos) / 1_000_000;
  }
}
