package io.github.deepep4j.bench;

import org.openjdk.jmh.results.Result;
import org.openjdk.jmh.results.RunResult;

/**
 * A measured case.
 *
 * @param measured what was run
 * @param result what JMH says
 */
record Outcome(Case measured, RunResult result) {
  /** A secondary result; NaN if it is missing. */
  double get(String name) {
    for (Result<?> secondary : result.getSecondaryResults().values()) {
      if (secondary.getLabel().endsWith(name)) {
        return secondary.getScore();
      }
    }
    return Double.NaN;
  }
}
