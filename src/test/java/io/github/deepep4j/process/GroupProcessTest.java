package io.github.deepep4j.process;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A JVM of a group dies or stops: what the others' exchange says. */
final class GroupProcessTest {
  private static final int NUM_RANKS = 3;
  private static final long MOST_MILLIS = 20_000;

  private static RankProcesses start(int victim, String deadlineMillis) throws Exception {
    RankProcesses ranks =
        new RankProcesses(NUM_RANKS, GroupRank.class, "" + victim, deadlineMillis);
    for (int rank = 0; rank < NUM_RANKS; rank++) {
      ranks.await(rank, "READY");
    }
    return ranks;
  }

  private static void assertOthers(RankProcesses ranks, int victim, String what)
      throws InterruptedException {
    for (int rank = 0; rank < NUM_RANKS; rank++) {
      if (rank != victim) {
        assertThat(ranks.await(rank, "CAUGHT")).contains(what);
        String after = ranks.await(rank, "AFTER");
        assertThat(Long.parseLong(after.substring(6))).isLessThan(MOST_MILLIS);
        ranks.await(rank, "CLOSED");
        ranks.assertSuccess(rank);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 2})
  void shouldNameTheDeadRankLongBeforeTheDeadline_whenItIsKilled(int victim) throws Exception {
    try (RankProcesses ranks = start(victim, "60000")) {
      ranks.kill(victim);
      assertOthers(
          ranks,
          victim,
          victim == 0 ? "the connection to rank 0 ended" : "rank 2's connection ended");
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 2})
  void shouldNameTheStoppedRank_whenTheDeadlinePasses(int victim) throws Exception {
    try (RankProcesses ranks = start(victim, "2000")) {
      ranks.signal(victim, "STOP");
      assertOthers(ranks, victim, "late: rank " + victim);
    }
  }
}
