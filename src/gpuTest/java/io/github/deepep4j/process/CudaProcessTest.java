package io.github.deepep4j.process;

import static io.github.deepep4j.process.FaultProcessTest.MOST_MILLIS;
import static io.github.deepep4j.process.FaultProcessTest.NEAR_MILLIS;
import static io.github.deepep4j.process.FaultProcessTest.NUM_RANKS;
import static io.github.deepep4j.process.FaultRank.VICTIM;
import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Ranks as JVMs that map each other's device memory (CUDA IPC), a rank killed or stopped. A device
 * cannot see that a process has died, so it is the deadline that tells. To be run without MPS,
 * under which a process killed while its kernel waits takes the others along.
 */
@Tag("gpu")
final class CudaProcessTest {
  @ParameterizedTest
  @ValueSource(ints = {2, 4})
  void shouldDeliverAndSumEveryRow_whenRanksAreProcesses(int numRanks) throws Exception {
    try (RankProcesses ranks = new RankProcesses(numRanks, RoundTripRank.class, "4711")) {
      for (int rank = 0; rank < numRanks; rank++) {
        ranks.await(rank, "CHECKED rank " + rank);
      }
      ranks.assertSuccess();
    }
  }

  @ParameterizedTest
  @CsvSource({"in-dispatch, false", "in-low-latency, false", "outside, true"})
  void shouldNameTheVictim_whenItIsKilled(String scenario, boolean othersWait) throws Exception {
    try (RankProcesses ranks =
        new RankProcesses(NUM_RANKS, FaultRank.class, scenario, "THROW", NEAR_MILLIS)) {
      FaultProcessTest.killVictim(ranks, othersWait);
      FaultProcessTest.assertSurvivors(ranks, "CAUGHT", 0, MOST_MILLIS);
    }
  }

  @ParameterizedTest
  @CsvSource({"in-dispatch, false", "in-low-latency, false", "outside, true"})
  void shouldGoOnWithoutTheVictim_whenItIsKilledUnderMask(String scenario, boolean othersWait)
      throws Exception {
    try (RankProcesses ranks =
        new RankProcesses(NUM_RANKS, FaultRank.class, scenario, "MASK", NEAR_MILLIS)) {
      FaultProcessTest.killVictim(ranks, othersWait);
      FaultProcessTest.assertSurvivors(ranks, "WENT ON", 0, MOST_MILLIS);
    }
  }

  @Test
  void shouldGoOnAndTellTheVictim_whenItIsStoppedUnderMask() throws Exception {
    try (RankProcesses ranks =
        new RankProcesses(NUM_RANKS, FaultRank.class, "stopped", "MASK", NEAR_MILLIS)) {
      FaultProcessTest.stopVictim(ranks);
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
}
