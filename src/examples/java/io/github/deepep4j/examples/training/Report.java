package io.github.deepep4j.examples.training;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** The report: two charts, and an HTML page with them, the numbers and the samples. */
final class Report {
  private static final String STYLE =
      """
      body { font: 16px/1.5 system-ui, sans-serif; max-width: 1000px; margin: 2em auto; padding: 0 1em; }
      img { max-width: 100%; height: auto; }
      table { border-collapse: collapse; }
      th, td { border-bottom: 1px solid #ccc; padding: .25em 1em .25em 0; text-align: right; }
      th:first-child, td:first-child { text-align: left; }
      pre { background: #f5f5f5; padding: 1em; white-space: pre-wrap; overflow-wrap: anywhere; }
      pre b { color: #777; }
      .holds { color: #17692b; } .fails { color: #a02020; }
      """;

  private final TrainingRun parallel;
  private final TrainingRun single;
  private final Agreement agreement;

  Report(TrainingRun parallel, TrainingRun single, Agreement agreement) {
    this.parallel = parallel;
    this.single = single;
    this.agreement = agreement;
  }

  /**
   * Writes {@code loss.png}, {@code expert-load.png} and {@code index.html}. A Java runtime without
   * java.desktop, as a GPU host may have, can't draw: then the page has no charts.
   *
   * @param introduction what was trained on what, one line each
   * @return the page
   */
  Path write(Path directory, String introduction) throws IOException {
    Files.createDirectories(directory);
    if (canDraw()) {
      Charts.loss(parallel, single, directory.resolve("loss.png"));
      Charts.load(parallel, directory.resolve("expert-load.png"));
    }
    return Files.writeString(directory.resolve("index.html"), html(introduction));
  }

  private static boolean canDraw() {
    return ModuleLayer.boot().findModule("java.desktop").isPresent();
  }

  private static String chart(String file, String alternative) {
    return canDraw()
        ? "<img src=\"" + file + "\" alt=\"" + alternative + "\">"
        : "<p>No chart: this Java runtime has no java.desktop.</p>";
  }

  private String html(String introduction) {
    return """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>DeepEP4J demo</title>
        <style>
        %s</style>
        </head>
        <body>
        <h1>DeepEP4J demo</h1>
        <pre>%s</pre>
        <p class="%s"><strong>%s.</strong></p>
        <h2>Training</h2>
        %s
        <p>Times in dispatch and combine are parts of the ranks' time in the training loop; waiting
        for other ranks is part of them. It is long where ranks share a core.</p>
        %s
        <h2>Expert load</h2>
        <p>With even load each of a layer's %d experts gets %.2f %% of the choices.</p>
        %s
        <h2>Generated text</h2>
        <p>One text per rank, written through the low-latency calls. Grey: what was given.</p>
        %s</body>
        </html>
        """
        .formatted(
            STYLE,
            escape(introduction),
            agreement.holds() ? "holds" : "fails",
            escape(agreement.sentence()),
            table(),
            chart("loss.png", "Training loss over steps, both runs"),
            parallel.load()[0][0].length,
            100.0 / parallel.load()[0][0].length,
            chart("expert-load.png", "Share of choices of each expert over steps"),
            samples());
  }

  private String table() {
    return "<table>\n<tr><th></th><th>EP=%d</th><th>EP=%d</th></tr>\n"
            .formatted(parallel.ranks(), single.ranks())
        + row("weights of the model", parallel.weights(), single.weights(), "%,.0f")
        + row("first loss (nats per character)", parallel.firstLoss(), single.firstLoss(), "%.4f")
        + row("last loss", parallel.lastLoss(), single.lastLoss(), "%.4f")
        + row("time (s)", parallel.seconds(), single.seconds(), "%.1f")
        + row("tokens/s", parallel.tokensPerSecond(), single.tokensPerSecond(), "%,.0f")
        + row("in dispatch (%)", dispatch(parallel), dispatch(single), "%.1f")
        + row("in combine (%)", combine(parallel), combine(single), "%.1f")
        + row("of both, waiting for other ranks (%)", waiting(parallel), waiting(single), "%.1f")
        + "</table>";
  }

  private static String row(String name, double first, double second, String format) {
    return "<tr><td>%s</td><td>%s</td><td>%s</td></tr>\n"
        .formatted(
            name,
            String.format(Locale.ROOT, format, first),
            String.format(Locale.ROOT, format, second));
  }

  private static double dispatch(TrainingRun run) {
    return 100 * run.shares().dispatch();
  }

  private static double combine(TrainingRun run) {
    return 100 * run.shares().combine();
  }

  private static double waiting(TrainingRun run) {
    return 100 * run.shares().waiting();
  }

  private String samples() {
    StringBuilder html = new StringBuilder();
    for (TrainingRun.Sample sample : parallel.samples()) {
      html.append("<pre><b>").append(escape(sample.prompt())).append("</b>");
      html.append(escape(sample.continuation())).append("</pre>\n");
    }
    return html.toString();
  }

  private static String escape(String text) {
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
  }
}
