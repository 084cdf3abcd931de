package io.github.deepep4j.tune;

import io.github.deepep4j.TuningConfig;
import java.util.List;

/** One value of a tuning that is swept, and what it is tried with. */
enum Knob {
  /** SMs of a dispatch. */
  DISPATCH_SMS {
    @Override
    TuningConfig set(TuningConfig of, int value) {
      return new TuningConfig(
          value, of.combineSms(), of.lowLatencySms(), of.waitSpins(), of.waitYields());
    }

    @Override
    double cost(Times times) {
      return times.dispatchNanos();
    }
  },
  /** SMs of a combine. */
  COMBINE_SMS {
    @Override
    TuningConfig set(TuningConfig of, int value) {
      return new TuningConfig(
          of.dispatchSms(), value, of.lowLatencySms(), of.waitSpins(), of.waitYields());
    }

    @Override
    double cost(Times times) {
      return times.combineNanos();
    }
  },
  /** Polls before a host wait yields. */
  WAIT_SPINS {
    @Override
    TuningConfig set(TuningConfig of, int value) {
      return new TuningConfig(
          of.dispatchSms(), of.combineSms(), of.lowLatencySms(), value, of.waitYields());
    }
  },
  /** Yields before a host wait sleeps. */
  WAIT_YIELDS {
    @Override
    TuningConfig set(TuningConfig of, int value) {
      return new TuningConfig(
          of.dispatchSms(), of.combineSms(), of.lowLatencySms(), of.waitSpins(), value);
    }
  };

  /** Knobs that do something on the CPU. */
  static final List<Knob> OF_CPU = List.of(WAIT_SPINS, WAIT_YIELDS);

  /** Knobs that do something on a GPU. */
  static final List<Knob> OF_CUDA = List.of(DISPATCH_SMS, COMBINE_SMS, WAIT_SPINS);

  /** What is tried beside the value that a tuning has. */
  List<Integer> candidates() {
    return switch (this) {
      case DISPATCH_SMS, COMBINE_SMS -> List.of(4, 8, 12, 16, 24, 32, 48);
      case WAIT_SPINS -> List.of(0, 10, 1_000, 10_000);
      case WAIT_YIELDS -> List.of(0, 100, 10_000);
    };
  }

  /** A tuning with another value of this knob. */
  abstract TuningConfig set(TuningConfig of, int value);

  /** What this knob is to make small; both operations unless it concerns one. */
  double cost(Times times) {
    return times.dispatchNanos() + times.combineNanos();
  }
}
