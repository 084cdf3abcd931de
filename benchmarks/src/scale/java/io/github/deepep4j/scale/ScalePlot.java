package io.github.deepep4j.scale;

import java.util.List;
import java.util.Locale;

/**
 * The plot of the report as SVG text: for each operation GB/s over the nodes with the published
 * figures as marks, and below it the time.
 */
final class ScalePlot {
  private static final int WIDTH = 1080;
  private static final int HEIGHT = 860;
  private static final int PANEL_WIDTH = 430;
  private static final int PANEL_HEIGHT = 290;
  private static final int PANEL_STEPS = 4;
  private static final String FAINT = "#d8dce2";
  private static final String PUBLISHED = "#c8501e";
  private static final List<String> COLOURS = List.of("#3b6fb6", "#7fa8d9", "#2e8b57", "#8fcfa8");

  /** Where both machines wait for the same network, one line can be seen on top of the other. */
  private static final List<Double> THICKNESSES = List.of(6.0, 6.0, 2.0, 2.0);

  private final StringBuilder svg = new StringBuilder();
  private final Report report;
  private int left;
  private int top;
  private double most;

  private ScalePlot(Report report) {
    this.report = report;
  }

  static String svg(Report report) {
    return new ScalePlot(report).draw();
  }

  private String draw() {
    add("<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d'", WIDTH, HEIGHT);
    add(" viewBox='0 0 %d %d' font-family='DejaVu Sans, Helvetica, sans-serif'", WIDTH, HEIGHT);
    add(
        " font-size='12' fill='#1d2430'>\n<rect width='%d' height='%d' fill='white'/>\n",
        WIDTH, HEIGHT);
    text(
        24,
        28,
        "start",
        15,
        "Simulated: normal mode on 2 to 64 nodes of 8 GPUs, 4,096 tokens, top-8");
    legend();
    for (Workload.Operation operation : Workload.Operation.values()) {
      left = operation == Workload.Operation.DISPATCH ? 80 : 80 + PANEL_WIDTH + 100;
      String name = operation == Workload.Operation.DISPATCH ? "Dispatch FP8" : "Combine BF16";
      top = 130;
      panel(name + ": (token, node) pairs, own node included", "GB/s", 100);
      lines(operation, true);
      published(operation);
      top = 130 + PANEL_HEIGHT + 90;
      panel(name + ": time of one operation", "ms", 12);
      lines(operation, false);
    }
    return svg.append("</svg>\n").toString();
  }

  private void legend() {
    int x = 24;
    int i = 0;
    for (String name :
        List.of(
            "H800, token on at most 4 nodes", "H800, on any", "H100, at most 4", "H100, on any")) {
      add("<path d='M%d 56 h24' stroke='%s' stroke-width='3'/>\n", x, COLOURS.get(i++));
      text(x + 30, 60, "start", 12, name);
      x += 60 + 7 * name.length();
    }
    cross(x + 8, 56);
    text(x + 20, 60, "start", 12, "published (V1 on H800; circle: V2)");
  }

  private void panel(String title, String unit, double mostValue) {
    most = mostValue;
    text(left, top - 14, "start", 13, title);
    for (int step = 0; step <= PANEL_STEPS; step++) {
      double value = most * step / PANEL_STEPS;
      add("<path d='M%d %.1f h%d' stroke='%s'/>\n", left, y(value), PANEL_WIDTH, FAINT);
      text(left - 8, y(value) + 4, "end", 11, String.format(Locale.ROOT, "%.0f", value));
    }
    for (int nodes : Report.NODES) {
      text(x(nodes), top + PANEL_HEIGHT + 18, "middle", 11, Integer.toString(nodes));
    }
    text(left + PANEL_WIDTH / 2.0, top + PANEL_HEIGHT + 36, "middle", 12, "nodes");
    text(left - 50, top - 14, "start", 11, unit);
  }

  private void lines(Workload.Operation operation, boolean counted) {
    List<Report.Row> rows =
        report.scaling().stream().filter(row -> row.workload().operation() == operation).toList();
    for (int line = 0; line < COLOURS.size(); line++) {
      StringBuilder path = new StringBuilder();
      for (int i = 0; i < Report.NODES.size(); i++) {
        Report.Row row = rows.get(line * Report.NODES.size() + i);
        Outcome outcome = row.outcome();
        double value = counted ? outcome.countedNetworkGbs() : outcome.timeNs() / 1e6;
        path.append(
            String.format(
                Locale.ROOT,
                "%s%.1f %.1f",
                i == 0 ? "M" : " L",
                x(row.workload().numNodes()),
                y(value)));
      }
      add(
          "<path d='%s' fill='none' stroke='%s' stroke-width='%.0f'/>\n",
          path, COLOURS.get(line), THICKNESSES.get(line));
    }
  }

  private void published(Workload.Operation operation) {
    for (Published figure : Published.ALL) {
      if (figure.numNodes() > 1 && figure.v1()) {
        cross(x(figure.numNodes()), y(figure.gbs(operation)));
      } else if (figure.numNodes() > 1) {
        add(
            "<circle cx='%.1f' cy='%.1f' r='5' fill='none' stroke='%s' stroke-width='2.5'/>\n",
            x(figure.numNodes()), y(figure.gbs(operation)), PUBLISHED);
      }
    }
  }

  private void cross(double x, double y) {
    add(
        "<path d='M%.1f %.1f l10 10 m-10 0 l10 -10' stroke='%s' stroke-width='2.5'/>\n",
        x - 5, y - 5, PUBLISHED);
  }

  private double x(int nodes) {
    double steps = Math.log(Report.NODES.get(Report.NODES.size() - 1) / 2.0) / Math.log(2);
    return left + 15 + (PANEL_WIDTH - 30) * (Math.log(nodes / 2.0) / Math.log(2)) / steps;
  }

  private double y(double value) {
    return top + PANEL_HEIGHT * (1 - value / most);
  }

  private void text(double x, double y, String anchor, int size, String words) {
    add(
        "<text x='%.1f' y='%.1f' text-anchor='%s' font-size='%d'>%s</text>\n",
        x, y, anchor, size, words);
  }

  private void add(String format, Object... values) {
    svg.append(String.format(Locale.ROOT, format, values));
  }
}
