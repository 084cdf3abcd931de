package io.github.deepep4j.scale;

import java.util.List;
import java.util.Locale;

/** The report as tables of a Markdown page. */
final class Tables {
  private Tables() {}

  /** The whole page. */
  static String page(Report report) {
    StringBuilder page = new StringBuilder();
    page.append("### Against published figures\n\n");
    page.append(checks(report.checks()));
    for (Workload.Operation operation : Workload.Operation.values()) {
      page.append("\n### ").append(title(operation)).append("\n\n");
      page.append(rows(of(report.scaling(), operation)));
    }
    page.append("\n### Fewer and more SMs, 8 nodes\n\n").append(rows(report.smSweep()));
    page.append("\n### Less and more staging memory, 2 nodes\n\n");
    return page.append(rows(report.windowSweep())).toString();
  }

  private static List<Report.Row> of(List<Report.Row> rows, Workload.Operation operation) {
    return rows.stream().filter(row -> row.workload().operation() == operation).distinct().toList();
  }

  private static String title(Workload.Operation operation) {
    return operation == Workload.Operation.DISPATCH ? "Dispatch, FP8" : "Combine, BF16";
  }

  private static String checks(List<Report.Check> checks) {
    StringBuilder table = new StringBuilder();
    table.append("| figure | operation | machine | published GB/s | simulated GB/s | off by | |\n");
    table.append("|---|---|---|---|---|---|---|\n");
    for (Report.Check check : checks) {
      table.append(
          format(
              "| %s | %s | %s | %.0f | %.1f | %+.0f %% | %s |\n",
              check.published().name(),
              check.operation().name().toLowerCase(Locale.ROOT),
              check.machine(),
              check.published().gbs(check.operation()),
              check.simulated(),
              100 * check.deviation(),
              verdict(check)));
    }
    return table.toString();
  }

  private static String verdict(Report.Check check) {
    if (check.fitted()) {
      return "fitted";
    }
    return check.disagrees() ? "**disagrees by more than 20 %**" : "predicted";
  }

  /** A line for each of the rows, after the heading. */
  static String rows(List<Report.Row> rows) {
    StringBuilder table = new StringBuilder();
    table.append(
        "| machine | nodes x 8 | nodes of a token | SMs | window | ms | network GB/s, counted as V1"
            + " | sent by a card | MB over a card | MB over NVLink | memory MB | peak staging MB"
            + " | busy: card, NVLink, SMs | limit |\n");
    table.append("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (Report.Row row : rows) {
      Outcome outcome = row.outcome();
      table.append(
          format(
              "| %s %s | %d | %d | %d | %d | %.2f | %.1f | %.1f | %.1f | %.1f | %.1f | %.1f"
                  + " | %.0f, %.0f, %.0f %% | %s |\n",
              row.machine().name(),
              row.workload().operation().name().toLowerCase(Locale.ROOT),
              row.workload().numNodes(),
              row.workload().maxNodes(),
              row.machine().sms(),
              row.workload().window(),
              outcome.timeNs() / 1e6,
              outcome.countedNetworkGbs(),
              outcome.nicGbs(),
              outcome.nicBytes() / 1e6,
              outcome.nvlinkBytes() / 1e6,
              row.memoryBytes() / 1e6,
              outcome.peakStagingBytes() / 1e6,
              100 * outcome.nicLoad(),
              100 * outcome.nvlinkLoad(),
              100 * outcome.smLoad(),
              outcome.limit()));
    }
    return table.toString();
  }

  private static String format(String text, Object... values) {
    return String.format(Locale.ROOT, text, values);
  }
}
