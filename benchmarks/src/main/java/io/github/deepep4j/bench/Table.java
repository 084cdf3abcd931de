package io.github.deepep4j.bench;

import java.util.List;
import java.util.Locale;

/** The terminal's table: one line for each case, as it is measured. */
final class Table {
  private static final String ON_CPU =
      """
      Times in µs: one operation of all ranks, slowest rank. GB/s per rank from the median time, counting each
      row once per (token, rank) and once per (token, expert); copy = a plain off-heap copy of the bytes that the
      form moves, by the same threads in the same run; ratio = copy's time / operation's; B/op = Java heap, all ranks.
      """;

  private static final String ON_GPU =
      """
      Times in µs, slowest rank. GPU: between two events on each rank's stream, all streams beginning at one moment
      (exact dispatch: not so, its host part is in it). host: from the call until the host sees the result; call: until
      rank 0's call returns. GB/s per rank from the GPU's median, counting each row once per (token, rank) and once per
      (token, expert); rows = a rank's share of a gather of the same rows by the same number of SMs in the same run;
      ratio = its time / operation's, and it can pass 1 where one read serves several destinations. L2 is not flushed.
      Overlap: a copy of rows between an operation's halves; seq = the operation in one piece, then the copy; comp = the
      copy alone; hidden = seq less the whole.
      B/op = Java heap per rank.
      """;

  /** A number's name, where it comes from, and its digits. */
  private record Column(String head, String metric, String format) {
    String text(Outcome outcome) {
      double value = outcome.get(metric);
      String digits = format.equals("time") ? (value < 100 ? "%.1f" : "%.0f") : format;
      return Double.isNaN(value) ? "-" : String.format(Locale.ROOT, digits, value);
    }
  }

  private static final List<Column> CPU_COLUMNS =
      List.of(
          new Column("p50", MeterProfiler.P50, "time"),
          new Column("p90", MeterProfiler.P90, "time"),
          new Column("p99", MeterProfiler.P99, "time"),
          new Column("tok·rank", MeterProfiler.PER_TOKEN_RANK, "%.2f"),
          new Column("tok·exp", MeterProfiler.PER_TOKEN_EXPERT, "%.2f"),
          new Column("copy", MeterProfiler.PLAIN_COPY, "%.2f"),
          new Column("ratio", MeterProfiler.TO_PLAIN_COPY, "%.2f"),
          new Column("B/op", MeterProfiler.HEAP, "%.0f"));

  private static final List<Column> GPU_COLUMNS =
      List.of(
          new Column("GPU p50", MeterProfiler.GPU_P50, "time"),
          new Column("p90", MeterProfiler.GPU_P90, "time"),
          new Column("p99", MeterProfiler.GPU_P99, "time"),
          new Column("host", MeterProfiler.P50, "time"),
          new Column("call", MeterProfiler.CALL, "time"),
          new Column("tok·rank", MeterProfiler.PER_TOKEN_RANK, "%.0f"),
          new Column("tok·exp", MeterProfiler.PER_TOKEN_EXPERT, "%.0f"),
          new Column("rows", MeterProfiler.ROW_COPY, "%.0f"),
          new Column("ratio", MeterProfiler.OF_ROW_COPY, "%.2f"),
          new Column("B/op", MeterProfiler.HEAP_OF_RANK, "%.0f"),
          new Column("seq", MeterProfiler.SEQUENCE, "time"),
          new Column("comp", MeterProfiler.COMPUTE, "time"),
          new Column("hidden", MeterProfiler.HIDDEN, "time"));

  private final boolean onGpu;
  private final List<Column> columns;
  private String sizes = "";

  Table(boolean onGpu) {
    this.onGpu = onGpu;
    this.columns = onGpu ? GPU_COLUMNS : CPU_COLUMNS;
  }

  /** Legend and column heads. */
  String head() {
    StringBuilder line = new StringBuilder(cell("", true));
    for (Column column : columns) {
      line.append(cell(column.head(), false));
    }
    return (onGpu ? ON_GPU : ON_CPU) + line + "\n";
  }

  /** One case; the sizes are said when they change. */
  String row(Outcome outcome) {
    StringBuilder line = new StringBuilder(cell("  " + outcome.measured().form(), true));
    for (Column column : columns) {
      line.append(cell(column.text(outcome), false));
    }
    line.append('\n');
    if (outcome.measured().sizes().equals(sizes)) {
      return line.toString();
    }
    sizes = outcome.measured().sizes();
    return sizes + "\n" + line;
  }

  private static String cell(String text, boolean first) {
    return String.format(Locale.ROOT, first ? "%-46s" : " %9s", text);
  }
}
