package io.github.deepep4j.examples.training;

import java.awt.Color;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.HeatMapChart;
import org.knowm.xchart.HeatMapChartBuilder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The demo's two charts as PNG files. */
final class Charts {
  private static final int WIDTH = 1000;
  private static final int MAX_COLUMNS = 50;

  private Charts() {}

  /** Loss over steps of both runs; the second is drawn thin and dashed on top of the first. */
  static void loss(TrainingRun first, TrainingRun second, Path file) throws IOException {
    XYChart chart =
        new XYChartBuilder()
            .width(WIDTH)
            .height(520)
            .title("Training loss")
            .xAxisTitle("step")
            .yAxisTitle("loss (nats per character)")
            .build();
    style(chart.getStyler());
    chart.getStyler().setLegendPosition(Styler.LegendPosition.InsideNE);
    chart.getStyler().setXAxisMin(0.0);
    chart.getStyler().setYAxisMin(0.0);
    chart.getStyler().setXAxisMaxLabelCount(11);
    chart.getStyler().setYAxisDecimalPattern("0.0");
    chart.getStyler().setXAxisDecimalPattern("0");
    double[] steps = IntStream.rangeClosed(1, first.losses().length).asDoubleStream().toArray();
    chart
        .addSeries(name(first), steps, first.losses())
        .setMarker(SeriesMarkers.NONE)
        .setLineColor(new Color(0x8FBCE6))
        .setLineWidth(6);
    chart
        .addSeries(name(second) + " ", steps, second.losses()) // two series need two names
        .setMarker(SeriesMarkers.NONE)
        .setLineColor(new Color(0xA02020))
        .setLineWidth(1.2f);
    save(BitmapEncoder.getBufferedImage(chart), file);
  }

  private static String name(TrainingRun run) {
    return "EP=" + run.ranks() + (run.ranks() == 1 ? " (1 rank)" : " (" + run.ranks() + " ranks)");
  }

  /** How evenly the tokens of each layer spread over its experts, over time. */
  static void load(TrainingRun run, Path file) throws IOException {
    int layers = run.load()[0].length;
    int experts = run.load()[0][0].length;
    int columns = Math.min(MAX_COLUMNS, run.load().length);
    double largest = 0;
    List<Number[]> cells = new ArrayList<>();
    for (int column = 0; column < columns; column++) {
      for (int row = 0; row < layers * experts; row++) {
        double share = share(run, column, columns, row);
        largest = Math.max(largest, share);
        cells.add(new Number[] {column, row, share});
      }
    }
    HeatMapChart chart =
        new HeatMapChartBuilder()
            .width(WIDTH)
            .height(180 + 16 * layers * experts)
            .title("Expert load: share of a layer's choices, in %")
            .xAxisTitle("step")
            .yAxisTitle("layer.expert")
            .build();
    style(chart.getStyler());
    chart.getStyler().setShowValue(false);
    chart.getStyler().setMin(0).setMax(Math.ceil(largest));
    chart.getStyler().setRangeColors(new Color[] {Color.WHITE, new Color(0x2166AC), Color.BLACK});
    List<String> xLabels =
        IntStream.range(0, columns)
            .mapToObj(c -> String.valueOf(1 + c * run.load().length / columns))
            .toList();
    List<String> yLabels =
        IntStream.range(0, layers * experts)
            .mapToObj(row -> (row / experts) + "." + (row % experts))
            .toList();
    chart.addSeries("load", xLabels, yLabels, cells);
    save(BitmapEncoder.getBufferedImage(chart), file);
  }

  /** Mean share of one layer's choices that an expert got, over the steps of a column. */
  private static double share(TrainingRun run, int column, int columns, int row) {
    int experts = run.load()[0][0].length;
    int from = column * run.load().length / columns;
    int to = (column + 1) * run.load().length / columns;
    long mine = 0;
    long all = 0;
    for (int step = from; step < to; step++) {
      int[] layer = run.load()[step][row / experts];
      mine += layer[row % experts];
      all += IntStream.of(layer).sum();
    }
    return 100.0 * mine / all;
  }

  private static void save(BufferedImage image, Path file) throws IOException {
    if (!ImageIO.write(image, "png", file.toFile())) {
      throw new IOException("no PNG writer for " + file);
    }
  }

  private static void style(Styler styler) {
    styler.setChartBackgroundColor(Color.WHITE);
    styler.setPlotBackgroundColor(Color.WHITE);
    styler.setChartTitleBoxVisible(false);
  }
}
