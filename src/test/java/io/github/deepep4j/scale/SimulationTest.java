package io.github.deepep4j.scale;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.within;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Cases that can be worked out by hand: one chunk, one limit, sums of bytes. */
class SimulationTest {
  /** A rate that limits nothing. */
  private static final double PLENTY = 1e9;

  private static final double NIC_LATENCY = 1_000;
  private static final double NVLINK_LATENCY = 100;

  private static Machine machine(int ranksPerNode, double nvlink, double nic, double sm) {
    return new Machine("test", ranksPerNode, nvlink, nic, sm, 1, NIC_LATENCY, NVLINK_LATENCY);
  }

  /** Every token has an expert on every one of its nodes' ranks where there are 256 in all. */
  private static Workload workload(Workload.Operation operation, int nodes, int tokens) {
    return new Workload(operation, nodes, tokens, 1000, 256, nodes, 8, 4, 5);
  }

  /**
   * Two nodes of one rank, 8 tokens of 1,000 bytes to both: one chunk crosses in each direction.
   *
   * <pre>
   *   SM (10 GB/s)       local 800 ns   prepare 800 ns                        fan-out 800 ns
   *   card (2 GB/s)                                    1,000 latency + 4,000
   * </pre>
   */
  @Test
  void shouldTakeTheSumOfItsSteps_whenOneChunkCrosses() {
    Workload one = workload(Workload.Operation.DISPATCH, 2, 8);
    // What is prepared for the network goes before the rows that stay.
    assertThat(Simulation.run(machine(1, PLENTY, 2, 10), one).timeNs())
        .isCloseTo(800 + 1_000 + 4_000 + 800, within(1e-6));
  }

  @ParameterizedTest
  @EnumSource(Workload.Operation.class)
  void shouldMoveEachRowOnce_whenAnyOperation(Workload.Operation operation) {
    // 3 nodes of 2 ranks: each of 40 tokens is a pair with 3 nodes, 2 of them others, and 6 ranks.
    Outcome outcome = Simulation.run(machine(2, 50, 20, 30), workload(operation, 3, 40));
    assertThat(outcome.pairBytes()).isEqualTo(40 * 3 * 1000.0);
    assertThat(outcome.nicBytes()).isEqualTo(40 * 2 * 1000.0);
    assertThat(outcome.rowBytesMoved()).isEqualTo(40 * 6 * 1000.0);
    assertThat(outcome.nvlinkBytes()).isEqualTo(40 * 3 * 1000.0);
  }

  @ParameterizedTest
  @EnumSource(Workload.Operation.class)
  void shouldTakeAsLongAsTheCard_whenItIsTheSlowest(Workload.Operation operation) {
    Outcome outcome = Simulation.run(machine(4, PLENTY, 5, PLENTY), workload(operation, 2, 1600));
    double least = outcome.nicBytes() / 5;
    assertThat(outcome.timeNs()).isBetween(least, 1.02 * least);
    assertThat(outcome.limit()).isEqualTo("network");
    assertThat(outcome.nicGbs()).isCloseTo(5, within(0.1));
    assertThat(outcome.countedNetworkGbs()).as("own node counted").isCloseTo(10, within(0.2));
  }

  @ParameterizedTest
  @EnumSource(Workload.Operation.class)
  void shouldTakeAsLongAsTheLinks_whenTheyAreTheSlowest(Workload.Operation operation) {
    Outcome outcome = Simulation.run(machine(4, 5, PLENTY, PLENTY), workload(operation, 2, 800));
    double least = outcome.nvlinkBytes() / 5;
    assertThat(outcome.timeNs()).isBetween(least, 1.05 * least);
    assertThat(outcome.limit()).isEqualTo("NVLink");
  }

  @ParameterizedTest
  @EnumSource(Workload.Operation.class)
  void shouldTakeAsLongAsTheSms_whenTheyAreTheSlowest(Workload.Operation operation) {
    Outcome outcome = Simulation.run(machine(4, PLENTY, PLENTY, 5), workload(operation, 2, 800));
    // All rows in and out of the node once, and once more those that cross.
    double least = (outcome.rowBytesMoved() + outcome.nicBytes()) / 5;
    assertThat(outcome.timeNs()).isBetween(least, 1.05 * least);
    assertThat(outcome.limit()).isEqualTo("SMs");
    Outcome twice =
        Simulation.run(machine(4, PLENTY, PLENTY, 5).withSms(2), workload(operation, 2, 800));
    assertThat(twice.timeNs()).isBetween(0.45 * outcome.timeNs(), 0.55 * outcome.timeNs());
  }

  @ParameterizedTest
  @EnumSource(Workload.Operation.class)
  void shouldWaitForCredits_whenTheWindowIsLessThanTheWay(Workload.Operation operation) {
    // A chunk takes the card 160 ns and a credit 2,000 ns more: 13 chunks fill the way.
    Machine machine = machine(1, PLENTY, 50, PLENTY);
    Workload workload = workload(operation, 2, 2400);
    Outcome narrow = Simulation.run(machine, workload.withWindow(1));
    Outcome wide = Simulation.run(machine, workload.withWindow(16));
    assertThat(narrow.limit()).isEqualTo("waiting");
    assertThat(narrow.timeNs()).isCloseTo(300 * 2160.0, within(5_000.0));
    assertThat(wide.limit()).isEqualTo("network");
    assertThat(narrow.peakStagingBytes()).isEqualTo(8000.0);
  }

  @ParameterizedTest
  @EnumSource(Workload.Operation.class)
  void shouldNeverOverrunStaging_whenNodesSendToOne(Workload.Operation operation) {
    for (int window : new int[] {1, 2, 5}) {
      Workload workload = Workload.standard(operation, 4, 2).withWindow(window);
      Outcome outcome = Simulation.run(machine(2, 3, 50, PLENTY), workload);
      assertThat(outcome.peakStagingBytes())
          .isPositive()
          .isLessThanOrEqualTo((double) workload.stagingBytes());
    }
  }

  @Test
  void shouldGiveTheSame_whenRunTwice() {
    Workload workload = Workload.standard(Workload.Operation.DISPATCH, 4, 4);
    Machine machine = Machines.h800(10, 24);
    assertThat(Simulation.run(machine, workload)).isEqualTo(Simulation.run(machine, workload));
  }

  @Test
  void shouldStayInsideItsNodes_whenTheyAreLimited() {
    Workload workload = Workload.standard(Workload.Operation.DISPATCH, 8, 3);
    Outcome outcome = Simulation.run(machine(8, PLENTY, PLENTY, PLENTY), workload);
    double pairsPerToken = outcome.pairBytes() / workload.rowBytes() / workload.numTokens();
    // 8 different experts of 96 on 3 nodes: the mean of 3·(1 − C(64,8)/C(96,8)).
    assertThat(pairsPerToken).isCloseTo(2.9, within(0.03));
    assertThat(outcome.nicBytes() / outcome.pairBytes())
        .as("a node is another one in 7 of 8 cases")
        .isCloseTo(7 / 8.0, within(0.01));
  }

  @Test
  void shouldNameRuleAndValue_whenOutOfRange() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> machine(0, 1, 1, 1))
        .withMessageContaining("ranksPerNode and sms must be >= 1: 0, 1");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> machine(1, 1, -2, 1))
        .withMessageContaining("rates must be more than zero: -2.0");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> workload(Workload.Operation.COMBINE, 2, 0))
        .withMessageContaining("sizes must be >= 1: 0");
    Workload tooMany = new Workload(Workload.Operation.DISPATCH, 2, 1, 16, 257, 2, 1, 1, 1);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Simulation.run(machine(1, 1, 1, 1), tooMany))
        .withMessageContaining("256 experts to choose from and needs 257");
  }

  @Test
  void shouldWorkOffInOrder_whenAServerIsBusy() {
    Server server = new Server(2);
    assertThat(server.reserve(10, 100)).isEqualTo(60);
    assertThat(server.begin(20)).isEqualTo(60);
    assertThat(server.reserve(20, 20)).isEqualTo(70);
    assertThat(server.reserve(100, 2)).isEqualTo(101);
    assertThat(List.of(server.busyNs(), server.bytes())).containsExactly(61.0, 122.0);
  }
}
