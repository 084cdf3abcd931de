package io.github.deepep4j.scale;

import java.util.function.DoubleUnaryOperator;

/**
 * The part of their rate that links carry, fitted to two published figures per operation: the
 * NVLink's to V1 on one node, the network's to V1 on four. All other figures are then predictions.
 *
 * @param nvlink efficiency inside a node
 * @param nic efficiency of the network
 */
record Calibration(double nvlink, double nic) {
  private static final Published INSIDE = Published.ALL.get(0);
  private static final Published ACROSS = Published.ALL.get(2);
  private static final int STEPS = 20;
  private static final double LEAST = 0.3;

  /** Fits one operation. */
  static Calibration fit(Workload.Operation operation) {
    Machine machine = Machines.h800(Machines.v1SmGbs(operation), 24);
    double nvlink =
        solve(INSIDE.gbs(operation), part -> simulated(INSIDE, operation, machine.scaled(part, 1)));
    double nic =
        solve(
            ACROSS.gbs(operation),
            part -> simulated(ACROSS, operation, machine.scaled(nvlink, part)));
    return new Calibration(nvlink, nic);
  }

  /** Whether a figure is one of those that were fitted. */
  static boolean isFittedTo(Published published) {
    return published.equals(INSIDE) || published.equals(ACROSS);
  }

  /** A machine's links at their fitted rates. */
  Machine applyTo(Machine machine) {
    return machine.scaled(nvlink, nic);
  }

  /** The figure that the simulation gives for a published one. */
  static double simulated(Published figure, Workload.Operation operation, Machine machine) {
    Workload workload = Workload.standard(operation, figure.numNodes(), Published.MAX_NODES);
    return figure.of(Simulation.run(machine, workload));
  }

  /** The argument up to 1 at which a growing function has a value; 1 if it never does. */
  static double solve(double wanted, DoubleUnaryOperator growing) {
    double low = LEAST;
    double high = 1;
    for (int i = 0; i < STEPS; i++) {
      double middle = (low + high) / 2;
      if (growing.applyAsDouble(middle) < wanted) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return high;
  }
}
