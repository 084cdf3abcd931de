package io.github.deepep4j.process;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Both modes between JVMs, over windows that are mapped files. */
final class RoundTripProcessTest {
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
}
