package io.github.deepep4j.bench;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * The plot of a run on GPUs as SVG text: for each number of ranks a panel, GB/s per rank over the
 * multiprocessors of a rank, a line or a mark for each form, and dashed the row copy of the same
 * run, which is the limit of one read and one write per row.
 */
final class SmPlot {
  private static final int WIDTH = 1080;
  private static final int LEFT = 76;
  private static final int PLOT_RIGHT = 640;
  private static final int PANEL = 400;
  private static final int PLOT_HEIGHT = 300;
  private static final int LEGEND_ROW = 20;
  private static final String FAINT = "#d8dce2";
  private static final String[] COLOURS = {
    "#3b6fb6", "#2a9d8f", "#c8501e", "#8a5fbf", "#b8860b", "#d1495b", "#5b7553", "#7a7f87"
  };

  private final StringBuilder svg = new StringBuilder();
  private int top = 44;
  private double xEnd;
  private double yEnd;

  private SmPlot() {}

  /** A form's points: GB/s and the row copy's, by multiprocessors. */
  private static final class Line {
    final TreeMap<Integer, Double> rate = new TreeMap<>();
    final TreeMap<Integer, Double> limit = new TreeMap<>();
  }

  static String svg(String title, List<Outcome> outcomes) {
    return new SmPlot().draw(title, outcomes);
  }

  private String draw(String title, List<Outcome> outcomes) {
    Map<Integer, Map<String, Line>> panels = new TreeMap<>();
    for (Outcome outcome : outcomes) {
      Map<String, String> parameters = outcome.measured().parameters();
      Line line =
          panels
              .computeIfAbsent(Integer.valueOf(parameters.get("ranks")), n -> new LinkedHashMap<>())
              .computeIfAbsent(outcome.measured().form(), form -> new Line());
      int sms = Integer.parseInt(parameters.get("sms"));
      line.rate.put(sms, outcome.get(MeterProfiler.MOVED));
      if (!Double.isNaN(outcome.get(MeterProfiler.ROW_COPY))) {
        line.limit.put(sms, outcome.get(MeterProfiler.ROW_COPY));
      }
    }
    int height = top + PANEL * panels.size();
    add("<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d'", WIDTH, height);
    add(" viewBox='0 0 %d %d' font-family='DejaVu Sans, Helvetica, sans-serif'", WIDTH, height);
    add(" font-size='12' fill='#1d2430'>\n");
    add("<rect width='%d' height='%d' fill='white'/>\n", WIDTH, height);
    text(16, 26, "start", 15, title);
    panels.forEach(this::panel);
    add("</svg>\n");
    return svg.toString();
  }

  private void panel(int ranks, Map<String, Line> lines) {
    TreeSet<Integer> sms = new TreeSet<>();
    double most = 1;
    for (Line line : lines.values()) {
      sms.addAll(line.rate.keySet());
      for (double value : line.rate.values()) {
        most = Math.max(most, value);
      }
      for (double value : line.limit.values()) {
        most = Math.max(most, value);
      }
    }
    double step = Plot.step(most);
    yEnd = Math.ceil(most / step) * step;
    xEnd = Math.max(1, sms.last() * 1.1);
    text(16, top + 14, "start", 13, ranks + (ranks == 1 ? " rank" : " ranks"));
    for (double value = 0; value <= yEnd + step / 2; value += step) {
      add("<path d='M%d %.1f H%d' stroke='%s'/>\n", LEFT, y(value), PLOT_RIGHT, FAINT);
      text(LEFT - 8, y(value) + 4, "end", 11, String.format(Locale.ROOT, "%.0f", value));
    }
    for (int count : sms) {
      add("<path d='M%.1f %.1f v5' stroke='#1d2430'/>\n", x(count), y(0));
      text(x(count), y(0) + 18, "middle", 11, String.valueOf(count));
    }
    text((LEFT + PLOT_RIGHT) / 2.0, y(0) + 36, "middle", 12, "multiprocessors of each rank");
    text(LEFT, top + 30, "start", 12, "GB/s per rank (median)");
    int row = 0;
    for (Map.Entry<String, Line> entry : lines.entrySet()) {
      line(entry.getKey(), entry.getValue(), row++);
    }
    top += PANEL;
  }

  private void line(String form, Line line, int row) {
    String colour = COLOURS[row % COLOURS.length];
    path(line.rate, colour, "");
    path(line.limit, colour, " stroke-dasharray='5 4' opacity='0.6'");
    line.rate.forEach((sms, rate) -> dot(x(sms), y(rate), row));
    line.limit.forEach(
        (sms, rate) ->
            add(
                "<path d='M%.1f %.1f h10' stroke='%s' stroke-width='2' opacity='0.6'/>\n",
                x(sms) - 5, y(rate), colour));
    int at = top + 48 + LEGEND_ROW * row;
    dot(PLOT_RIGHT + 30, at, row);
    text(PLOT_RIGHT + 42, at + 4.0, "start", 11, form + ", dashed: row copy");
  }

  /** Hollow once the colours come again. */
  private void dot(double x, double y, int row) {
    String colour = COLOURS[row % COLOURS.length];
    add(
        "<circle cx='%.1f' cy='%.1f' r='4' fill='%s' stroke='%s' stroke-width='1.5'/>\n",
        x, y, row < COLOURS.length ? colour : "white", colour);
  }

  private void path(TreeMap<Integer, Double> points, String colour, String style) {
    if (points.size() < 2) {
      return;
    }
    List<String> places = new ArrayList<>();
    points.forEach(
        (sms, rate) -> places.add(String.format(Locale.ROOT, "%.1f %.1f", x(sms), y(rate))));
    add(
        "<path d='M%s' fill='none' stroke='%s' stroke-width='2'%s/>\n",
        String.join(" L", places), colour, style);
  }

  private double x(double sms) {
    return LEFT + sms / xEnd * (PLOT_RIGHT - LEFT);
  }

  private double y(double rate) {
    return top + 40 + PLOT_HEIGHT - rate / yEnd * PLOT_HEIGHT;
  }

  private void text(double x, double y, String anchor, int size, String words) {
    add(
        "<text x='%.1f' y='%.1f' text-anchor='%s' font-size='%d'>%s</text>\n",
        x, y, anchor, size, Plot.escaped(words));
  }

  private void add(String format, Object... values) {
    svg.append(String.format(Locale.ROOT, format, values));
  }
}
