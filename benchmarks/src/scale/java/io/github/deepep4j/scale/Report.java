package io.github.deepep4j.scale;

import java.util.ArrayList;
import java.util.List;

/**
 * Everything that is simulated for {@code docs/scale.md}.
 *
 * @param dispatch fitted efficiencies of a dispatch
 * @param combine the same of a combine
 * @param checks published figures against simulated ones
 * @param scaling 2 to 64 nodes
 * @param smSweep fewer and more SMs
 * @param windowSweep less and more staging memory
 */
record Report(
    Calibration dispatch,
    Calibration combine,
    List<Check> checks,
    List<Row> scaling,
    List<Row> smSweep,
    List<Row> windowSweep) {
  /** Nodes of the scaling table. */
  static final List<Integer> NODES = List.of(2, 4, 8, 16, 32, 64);

  /** SMs of a rank unless they are swept. */
  static final int SMS = 24;

  /** Nodes at which SMs are swept. */
  private static final int SM_SWEEP_NODES = 8;

  /** Nodes at which windows are swept: with one other node, its window is all there is. */
  private static final int WINDOW_SWEEP_NODES = 2;

  /** More than this is said in the report. */
  private static final double TOLERANCE = 0.2;

  Report {
    checks = List.copyOf(checks);
    scaling = List.copyOf(scaling);
    smSweep = List.copyOf(smSweep);
    windowSweep = List.copyOf(windowSweep);
  }

  /**
   * A published figure.
   *
   * @param published the figure
   * @param operation of it
   * @param machine that was simulated
   * @param simulated GB/s
   * @param fitted whether the simulation was fitted to it, so that it proves nothing
   */
  record Check(
      Published published,
      Workload.Operation operation,
      String machine,
      double simulated,
      boolean fitted) {
    /** How far off the simulation is. */
    double deviation() {
      return simulated / published.gbs(operation) - 1;
    }

    /** Whether that has to be said. */
    boolean disagrees() {
      return Math.abs(deviation()) > TOLERANCE;
    }
  }

  /**
   * A simulated operation.
   *
   * @param machine its rates
   * @param workload what was moved
   * @param outcome what it came to
   */
  record Row(Machine machine, Workload workload, Outcome outcome) {
    static Row of(Machine machine, Workload workload) {
      return new Row(machine, workload, Simulation.run(machine, workload));
    }

    int numRanks() {
      return workload.numNodes() * machine.ranksPerNode();
    }

    /**
     * Memory of one rank beside the receive regions: staging for rows on their way, and the rows
     * that its card sends, which lie in memory that the card reads (a dispatch's x; of a combine's
     * sums only what is prepared, which the window bounds).
     */
    long memoryBytes() {
      long source =
          workload.operation() == Workload.Operation.DISPATCH
              ? (long) workload.numTokens() * workload.rowBytes()
              : workload.stagingBytes();
      return workload.stagingBytes() + source;
    }
  }

  /** Simulates all of it; takes about a minute. */
  static Report simulate() {
    List<Check> checks = new ArrayList<>();
    List<Row> scaling = new ArrayList<>();
    List<Row> smSweep = new ArrayList<>();
    List<Row> windowSweep = new ArrayList<>();
    List<Calibration> fits = new ArrayList<>();
    for (Workload.Operation operation : Workload.Operation.values()) {
      Calibration fit = Calibration.fit(operation);
      fits.add(fit);
      checks(operation, fit, checks);
      double sm = Machines.ownSmGbs(operation);
      for (Machine machine : List.of(Machines.h800(sm, SMS), Machines.h100(sm, SMS))) {
        for (int maxNodes : new int[] {Published.MAX_NODES, 64}) {
          for (int nodes : NODES) {
            scaling.add(
                Row.of(fit.applyTo(machine), Workload.standard(operation, nodes, maxNodes)));
          }
        }
      }
      Machine machine = fit.applyTo(Machines.h100(sm, SMS));
      Workload eight = Workload.standard(operation, SM_SWEEP_NODES, Published.MAX_NODES);
      for (int sms : new int[] {1, 2, 4, 8, 12, 24}) {
        smSweep.add(Row.of(machine.withSms(sms), eight));
      }
      Workload two = Workload.standard(operation, WINDOW_SWEEP_NODES, Published.MAX_NODES);
      for (int window : new int[] {1, 2, 4, 8}) {
        windowSweep.add(Row.of(machine, two.withWindow(window)));
      }
    }
    return new Report(fits.get(0), fits.get(1), checks, scaling, smSweep, windowSweep);
  }

  private static void checks(Workload.Operation operation, Calibration fit, List<Check> checks) {
    for (Published published : Published.ALL) {
      Machine machine =
          published.v1()
              ? Machines.h800(Machines.v1SmGbs(operation), 24)
              : Machines.h100(Machines.ownSmGbs(operation), 12);
      double simulated = Calibration.simulated(published, operation, fit.applyTo(machine));
      checks.add(
          new Check(
              published, operation, machine.name(), simulated, Calibration.isFittedTo(published)));
    }
  }
}
