package io.github.deepep4j.bench;

import java.util.List;
import java.util.Locale;

/**
 * The plot of a run as SVG text: GB/s of every case as a bar with the plain copy as a mark on it,
 * and below it the times of the low-latency cases with their percentiles.
 */
final class Plot {
  private static final int WIDTH = 1080;
  private static final int LEFT = 400;
  private static final int RIGHT = 90;
  private static final int ROW = 24;
  private static final int BAR = 14;
  private static final int PANEL_HEAD = 62;
  private static final int PANEL_FOOT = 52;
  private static final String BAR_COLOUR = "#3b6fb6";
  private static final String MARK_COLOUR = "#c8501e";
  private static final String FAINT = "#d8dce2";

  private final StringBuilder svg = new StringBuilder();
  private double scale;
  private int top;

  private Plot() {}

  static String svg(String title, List<Outcome> outcomes) {
    return new Plot().draw(title, outcomes);
  }

  private String draw(String title, List<Outcome> outcomes) {
    List<Outcome> latency =
        outcomes.stream().filter(outcome -> outcome.measured().isLowLatency()).toList();
    int height = 44 + panelHeight(outcomes) + (latency.isEmpty() ? 0 : panelHeight(latency));
    add("<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d'", WIDTH, height);
    add(" viewBox='0 0 %d %d' font-family='DejaVu Sans, Helvetica, sans-serif'", WIDTH, height);
    add(" font-size='12' fill='#1d2430'>\n");
    add("<rect width='%d' height='%d' fill='white'/>\n", WIDTH, height);
    text(16, 26, "start", 15, title);
    top = 44;
    throughput(outcomes);
    if (!latency.isEmpty()) {
      latency(latency);
    }
    add("</svg>\n");
    return svg.toString();
  }

  private void throughput(List<Outcome> outcomes) {
    double most = 0;
    for (Outcome outcome : outcomes) {
      most =
          Math.max(
              most,
              Math.max(outcome.get(MeterProfiler.MOVED), outcome.get(MeterProfiler.PLAIN_COPY)));
    }
    panel(
        "Throughput of the bytes that each form moves; at the right its ratio to the copy",
        "GB/s per rank (median)",
        outcomes,
        most);
    legend("operation", "plain off-heap copy of the same bytes, same run");
    for (int i = 0; i < outcomes.size(); i++) {
      Outcome outcome = outcomes.get(i);
      int y = label(outcomes, i);
      bar(y, outcome.get(MeterProfiler.MOVED));
      mark(y, outcome.get(MeterProfiler.PLAIN_COPY));
      text(
          WIDTH - RIGHT + 12,
          y + 4,
          "start",
          12,
          String.format(Locale.ROOT, "%.2f ×", outcome.get(MeterProfiler.TO_PLAIN_COPY)));
    }
    top += panelHeight(outcomes);
  }

  private void latency(List<Outcome> outcomes) {
    double most = 0;
    for (Outcome outcome : outcomes) {
      most = Math.max(most, outcome.get(MeterProfiler.P99));
    }
    panel("Time of one low-latency operation; at the right its median", "µs", outcomes, most);
    legend("p50", "p99, thin line from p50 over p90");
    for (int i = 0; i < outcomes.size(); i++) {
      Outcome outcome = outcomes.get(i);
      int y = label(outcomes, i);
      bar(y, outcome.get(MeterProfiler.P50));
      double p90 = x(outcome.get(MeterProfiler.P90));
      double p99 = x(outcome.get(MeterProfiler.P99));
      add(
          "<path d='M%.1f %d H%.1f' stroke='%s'/>\n",
          x(outcome.get(MeterProfiler.P50)), y, p99, MARK_COLOUR);
      add("<path d='M%.1f %d v8' stroke='%s'/>\n", p90, y - 4, MARK_COLOUR);
      mark(y, outcome.get(MeterProfiler.P99));
      text(
          WIDTH - RIGHT + 12,
          y + 4,
          "start",
          12,
          String.format(Locale.ROOT, "%.0f µs", outcome.get(MeterProfiler.P50)));
    }
    top += panelHeight(outcomes);
  }

  private static int panelHeight(List<Outcome> outcomes) {
    return PANEL_HEAD + PANEL_FOOT + ROW * (outcomes.size() + headings(outcomes, outcomes.size()));
  }

  /** Lines that say sizes, before the row with an index. */
  private static int headings(List<Outcome> outcomes, int end) {
    int count = 0;
    for (int i = 0; i < end; i++) {
      count += startsGroup(outcomes, i) ? 1 : 0;
    }
    return count;
  }

  private static boolean startsGroup(List<Outcome> outcomes, int i) {
    return i == 0
        || !outcomes.get(i).measured().sizes().equals(outcomes.get(i - 1).measured().sizes());
  }

  /** Title, grid and axis of a panel that begins at {@code top}. */
  private void panel(String title, String unit, List<Outcome> outcomes, double most) {
    double step = step(most);
    double end = Math.ceil(most / step) * step;
    scale = (WIDTH - LEFT - RIGHT) / end;
    int first = top + PANEL_HEAD - 8;
    int last = top + panelHeight(outcomes) - PANEL_FOOT;
    text(16, top + 18, "start", 13, title);
    for (double value = 0; value <= end + step / 2; value += step) {
      add("<path d='M%.1f %d V%d' stroke='%s'/>\n", x(value), first, last, FAINT);
      String number =
          step < 1
              ? String.format(Locale.ROOT, "%.1f", value)
              : String.format(Locale.ROOT, "%.0f", value);
      text(x(value), last + 16, "middle", 11, number);
    }
    text((LEFT + WIDTH - RIGHT) / 2.0, last + 33, "middle", 12, unit);
  }

  private void legend(String bar, String mark) {
    int y = top + 36;
    add("<rect x='%d' y='%d' width='22' height='10' fill='%s'/>\n", LEFT, y - 6, BAR_COLOUR);
    text(LEFT + 28, y + 4, "start", 11, bar);
    int x = LEFT + 130;
    add("<path d='M%d %d v16' stroke='%s' stroke-width='3'/>\n", x, y - 9, MARK_COLOUR);
    text(x + 8, y + 4, "start", 11, mark);
  }

  /** Writes a row's labels and returns the middle of its bar. */
  private int label(List<Outcome> outcomes, int i) {
    int line = i + headings(outcomes, i + 1);
    int y = top + PANEL_HEAD + ROW * line + ROW / 2;
    if (startsGroup(outcomes, i)) {
      add(
          "<text x='16' y='%d' font-weight='bold'>%s</text>\n",
          y - ROW + 4, escaped(outcomes.get(i).measured().sizes()));
    }
    text(LEFT - 10, y + 4, "end", 12, outcomes.get(i).measured().form());
    return y;
  }

  private void bar(int y, double value) {
    add(
        "<rect x='%d' y='%d' width='%.1f' height='%d' fill='%s'/>\n",
        LEFT, y - BAR / 2, value * scale, BAR, BAR_COLOUR);
  }

  private void mark(int y, double value) {
    add(
        "<path d='M%.1f %d v%d' stroke='%s' stroke-width='3'/>\n",
        x(value), y - BAR / 2 - 2, BAR + 4, MARK_COLOUR);
  }

  private double x(double value) {
    return LEFT + value * scale;
  }

  /** 1, 2 or 5 times a power of ten, so that an axis has four to ten steps. */
  static double step(double most) {
    double power = Math.pow(10, Math.floor(Math.log10(most)));
    double leading = most / power;
    return leading < 2 ? power / 5 : leading < 5 ? power / 2 : power;
  }

  private void text(double x, int y, String anchor, int size, String words) {
    add(
        "<text x='%.1f' y='%d' text-anchor='%s' font-size='%d'>%s</text>\n",
        x, y, anchor, size, escaped(words));
  }

  static String escaped(String words) {
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
  }

  private void add(String format, Object... values) {
    svg.append(String.format(Locale.ROOT, format, values));
  }
}
