package io.github.deepep4j.process;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.gpu.NvshmemAgainstCpu;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Ranks as JVMs that are PEs of NVSHMEM: within reach of loads and stores, and written to as over a
 * network. Several on one GPU need NVIDIA MPS, and all of it needs {@code libep4j_nvshmem.so} and
 * NVSHMEM, so these run only when they are asked for by name.
 */
@Tag("gpu")
@Tag("nvshmem")
final class NvshmemProcessTest {
  private static final int VICTIM = 1;
  private static final String NEAR_MILLIS = "3000";

  /** A rank that nobody sees dead is waited for until the deadline, in a call and at the end. */
  private static final long MOST_CLOSING_MILLIS = 15_000;

  private static void choose(boolean isRemote) {
    System.setProperty(TestDevice.TRANSPORT_PROPERTY, isRemote ? "nvshmem-remote" : "nvshmem");
  }

  @AfterEach
  void forgetTheChoice() {
    System.clearProperty(TestDevice.TRANSPORT_PROPERTY);
  }

  @ParameterizedTest
  @CsvSource({"1, false", "2, false", "2, true", "4, false", "4, true"})
  void shouldGiveTheSameBitsAsTheCpu_whenRanksArePes(int numRanks, boolean isRemote)
      throws Exception {
    choose(isRemote);
    try (RankProcesses ranks = new RankProcesses(numRanks, NvshmemAgainstCpu.class)) {
      for (int rank = 0; rank < numRanks; rank++) {
        ranks.await(rank, "SAME BITS");
      }
      ranks.assertSuccess();
    }
  }

  @ParameterizedTest
  @CsvSource({"2, 1, true", "4, 2, true", "4, 2, false"})
  void shouldGiveTheSameBitsAsTheCpu_whenPesAreOfSeveralNodes(
      int numRanks, int ranksPerNode, boolean isRemote) throws Exception {
    choose(isRemote);
    try (RankProcesses ranks =
        new RankProcesses(numRanks, NvshmemAgainstCpu.class, "" + ranksPerNode)) {
      for (int rank = 0; rank < numRanks; rank++) {
        ranks.await(rank, "SAME BITS");
      }
      ranks.assertSuccess();
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 4})
  void shouldDeliverAndSumEveryRow_whenRanksAreWithinReach(int numRanks) throws Exception {
    choose(false);
    try (RankProcesses ranks = new RankProcesses(numRanks, RoundTripRank.class, "4711")) {
      for (int rank = 0; rank < numRanks; rank++) {
        ranks.await(rank, "CHECKED rank " + rank);
      }
      ranks.assertSuccess();
    }
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void shouldGoOnAndAbandonNvshmem_whenARankIsKilledBetweenCalls(boolean isRemote)
      throws Exception {
    choose(isRemote);
    try (RankProcesses ranks = start()) {
      ranks.kill(VICTIM);
      ranks.go(0);
      assertSurvivor(ranks);
    }
  }

  @Test
  void shouldGoOnAndAbandonNvshmem_whenARankEndsWithoutClosing() throws Exception {
    choose(false);
    try (RankProcesses ranks = start()) {
      ranks.go(VICTIM);
      ranks.assertSuccess(VICTIM);
      ranks.go(0);
      assertSurvivor(ranks);
    }
  }

  /** Alive and silent: only the deadline ends the wait for it, in calls and at the end. */
  @Test
  void shouldAbandonNvshmemAtTheDeadline_whenARankIsStopped() throws Exception {
    choose(false);
    try (RankProcesses ranks = start()) {
      ranks.signal(VICTIM, "STOP");
      ranks.go(0);
      assertSurvivor(ranks);
    }
  }

  private static RankProcesses start() throws Exception {
    RankProcesses ranks = new RankProcesses(2, NvshmemLossRank.class, "" + VICTIM, NEAR_MILLIS);
    for (int rank = 0; rank < 2; rank++) {
      ranks.await(rank, "READY");
    }
    return ranks;
  }

  private static void assertSurvivor(RankProcesses ranks) throws InterruptedException {
    ranks.await(0, "WENT ON");
    String closed = ranks.await(0, "CLOSED");
    assertThat(Long.parseLong(closed.substring("CLOSED ".length())))
        .isLessThan(MOST_CLOSING_MILLIS);
    ranks.await(0, "ABANDONED");
    ranks.assertSuccess(0);
  }
}
