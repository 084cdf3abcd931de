package io.github.deepep4j.bench;

import java.util.Locale;

/** The terminal's table: one line for each case, as it is measured. */
final class Table {
  private static final String ROW = "%-46s %10s %10s %10s %8s %8s %8s %7s %9s%n";
  private String sizes = "";

  /** Legend and column heads. */
  String head() {
    return """
        Times in µs: one operation of all ranks, slowest rank. GB/s per rank from the median time, counting each
        row once per (token, rank) and once per (token, expert); copy = a plain off-heap copy of the bytes that the
        form moves, by the same threads in the same run; ratio = copy's time / operation's; B/op = Java heap, all ranks.
        """
        + String.format(
            Locale.ROOT,
            ROW,
            "",
            "p50",
            "p90",
            "p99",
            "tok·rank",
            "tok·exp",
            "copy",
            "ratio",
            "B/op");
  }

  /** One case; the sizes are said when they change. */
  String row(Outcome outcome) {
    String line =
        String.format(
            Locale.ROOT,
            ROW,
            "  " + outcome.measured().form(),
            time(outcome.get(MeterProfiler.P50)),
            time(outcome.get(MeterProfiler.P90)),
            time(outcome.get(MeterProfiler.P99)),
            rate(outcome.get(MeterProfiler.PER_TOKEN_RANK)),
            rate(outcome.get(MeterProfiler.PER_TOKEN_EXPERT)),
            rate(outcome.get(MeterProfiler.COPY)),
            rate(outcome.get(MeterProfiler.RATIO)),
            String.format(Locale.ROOT, "%.0f", outcome.get(MeterProfiler.HEAP)));
    if (outcome.measured().sizes().equals(sizes)) {
      return line;
    }
    sizes = outcome.measured().sizes();
    return sizes + "\n" + line;
  }

  private static String time(double micros) {
    return String.format(Locale.ROOT, micros < 100 ? "%.1f" : "%.0f", micros);
  }

  private static String rate(double value) {
    return String.format(Locale.ROOT, "%.2f", value);
  }
}
