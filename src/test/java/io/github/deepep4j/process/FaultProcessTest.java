package io.github.deepep4j.process;

import static io.github.deepep4j.process.FaultRank.VICTIM;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * A JVM of three dies or stops. Deadlines are far longer than it takes to see that a process has
 * died, so that seeing it is what ends the waits; a stopped process is alive, and only its deadline
 * tells.
 */
final class FaultProcessTest {
  static final int NUM_RANKS = 3;
  private static final String FAR_MILLIS = "60000";
  static final String NEAR_MILLIS = "4000";

  /** Between death and verdict, on a crowded machine; far below the deadline. */
  static final long MOST_MILLIS = 20_000;

  /** Lets everybody come to where the victim is to be lost, and loses it. */
  static void killVictim(RankProcesses ranks, boolean othersWait) throws Exception {
    for (int rank = 0; rank < NUM_RANKS; rank++) {
      ranks.await(rank, "READY");
    }
    if (othersWait) {
      goSurvivors(ranks);
    }
    if (othersWait) {
      // Time to come to where they wait; should a rank be late, it finds the victim dead.
      Thread.sleep(300);
    }
    ranks.kill(VICTIM);
    if (!othersWait) {
      goSurvivors(ranks);
    }
  }

  private static void goSurvivors(RankProcesses ranks) {
    for (int rank = 0; rank < NUM_RANKS; rank++) {
      if (rank != VICTIM) {
        ranks.go(rank);
      }
    }
  }

  static void assertSurvivors(RankProcesses ranks, String prefix, long least, long most)
      throws InterruptedException {
    for (int rank = 0; rank < NUM_RANKS; rank++) {
      if (rank != VICTIM) {
        assertThat(millis(ranks.await(rank, prefix))).isBetween(least, most);
        assertThat(millis(ranks.await(rank, "CLOSED"))).isLessThan(5_000);
        ranks.assertSuccess(rank);
      }
    }
  }

  private static long millis(String line) {
    return Long.parseLong(line.substring(line.lastIndexOf(' ') + 1));
  }

  @ParameterizedTest
  @CsvSource({"in-dispatch, false", "in-low-latency, false", "outside, true"})
  void shouldNameTheVictimAtOnce_whenItIsKilled(String scenario, boolean othersWait)
      throws Exception {
    try (RankProcesses ranks =
        new RankProcesses(NUM_RANKS, FaultRank.class, scenario, "THROW", FAR_MILLIS)) {
      killVictim(ranks, othersWait);
      assertSurvivors(ranks, "CAUGHT", 0, MOST_MILLIS);
    }
  }

  @ParameterizedTest
  @CsvSource({"in-dispatch, false", "in-low-latency, false", "outside, true"})
  void shouldGoOnWithoutTheVictim_whenItIsKilledUnderMask(String scenario, boolean othersWait)
      throws Exception {
    try (RankProcesses ranks =
        new RankProcesses(NUM_RANKS, FaultRank.class, scenario, "MASK", FAR_MILLIS)) {
      killVictim(ranks, othersWait);
      assertSurvivors(ranks, "WENT ON", 0, MOST_MILLIS);
    }
  }

  @Test
  void shouldNameTheVictimAtTheDeadline_whenItIsStopped() throws Exception {
    try (RankProcesses ranks =
        new RankProcesses(NUM_RANKS, FaultRank.class, "stopped", "THROW", NEAR_MILLIS)) {
      stopVictim(ranks);
      // The first to give up tells the others, whose own deadline may be a little later.
      assertSurvivors(ranks, "CAUGHT", 3_000, MOST_MILLIS);
    }
  }

  @Test
  void shouldGoOnAndTellTheVictim_whenItIsStoppedUnderMask() throws Exception {
    try (RankProcesses ranks =
        new RankProcesses(NUM_RANKS, FaultRank.class, "stopped", "MASK", NEAR_MILLIS)) {
      stopVictim(ranks);
      for (int rank = 0; rank < NUM_RANKS; rank++) {
        if (rank != VICTIM) {
          ranks.await(rank, "WENT ON");
        }
      }
      ranks.signal(VICTIM, "CONT");
      ranks.go(VICTIM);
      assertThat(ranks.await(VICTIM, "MASKED")).contains("rank " + VICTIM);
      ranks.assertSuccess();
    }
  }

  static void stopVictim(RankProcesses ranks) throws Exception {
    for (int rank = 0; rank < NUM_RANKS; rank++) {
      ranks.await(rank, "READY");
    }
    ranks.signal(VICTIM, "STOP");
    goSurvivors(ranks);
  }
}
