package io.github.deepep4j.tune;

import io.github.deepep4j.TuningConfig;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * The search: knob by knob, candidates in turn, the default kept unless another is clearly faster.
 */
final class Sweep {
  /** A candidate must take less than this part of the default's time. */
  static final double CLEARLY = 0.97;

  private final Function<TuningConfig, Times> trial;
  private final int passes;
  private final Consumer<String> log;

  /**
   * Prepares a search.
   *
   * @param trial measures a tuning
   * @param passes how often each candidate has its turn
   * @param log gets a line for each candidate
   */
  Sweep(Function<TuningConfig, Times> trial, int passes, Consumer<String> log) {
    this.trial = trial;
    this.passes = passes;
    this.log = log;
  }

  /** The best tuning found. */
  TuningConfig run(TuningConfig start, List<Knob> knobs) {
    TuningConfig best = start;
    for (Knob knob : knobs) {
      best = sweep(best, knob);
    }
    return best;
  }

  private TuningConfig sweep(TuningConfig current, Knob knob) {
    Map<TuningConfig, List<Double>> costs = new LinkedHashMap<>();
    costs.put(current, new ArrayList<>());
    for (int value : knob.candidates()) {
      costs.putIfAbsent(knob.set(current, value), new ArrayList<>());
    }
    for (int pass = 0; pass < passes; pass++) {
      costs.forEach((config, seen) -> seen.add(knob.cost(trial.apply(config))));
    }
    List<Double> ofCurrent = costs.getOrDefault(current, List.of());
    double fastest = Collections.min(ofCurrent);
    double limit = CLEARLY * median(ofCurrent);
    TuningConfig best = current;
    for (Map.Entry<TuningConfig, List<Double>> entry : costs.entrySet()) {
      double cost = median(entry.getValue());
      log.accept(
          String.format(Locale.ROOT, "%-12s %10.1f us  %s", knob, cost / 1e3, entry.getKey()));
      // On a noisy machine each has passes that the other does not reach; then nothing is known.
      if (cost < limit && Collections.max(entry.getValue()) < fastest) {
        limit = cost;
        best = entry.getKey();
      }
    }
    return best;
  }

  /** The middle of some values; the lower one of two. */
  static double median(List<Double> values) {
    double[] sorted = values.stream().mapToDouble(Double::doubleValue).toArray();
    Arrays.sort(sorted);
    return sorted[(sorted.length - 1) / 2];
  }
}
