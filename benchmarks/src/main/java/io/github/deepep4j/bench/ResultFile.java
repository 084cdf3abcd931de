package io.github.deepep4j.bench;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.results.format.ResultFormatFactory;
import org.openjdk.jmh.results.format.ResultFormatType;

/** The JSON of a run: where and what it was, a summary, and JMH's own results unchanged. */
final class ResultFile {
  private ResultFile() {}

  /**
   * Where a run was made.
   *
   * @param started time of its start, ISO 8601
   * @param commit of the tree
   * @param dirty whether the tree had changes
   * @param loadBefore load average before the first measurement
   * @param jvmFlags flags of the forks
   * @param note the user's words
   */
  record Origin(
      String started,
      String commit,
      boolean dirty,
      double loadBefore,
      List<String> jvmFlags,
      String note) {}

  static String json(Origin origin, Plan plan, List<Outcome> outcomes) {
    List<String> summary = new ArrayList<>();
    for (Outcome outcome : outcomes) {
      summary.add("    " + summary(outcome));
    }
    return "{\n"
        + ("  \"started\": " + text(origin.started()) + ",\n")
        + ("  \"plan\": " + text(plan.name()) + ",\n")
        + ("  \"commit\": " + text(origin.commit()) + ",\n")
        + ("  \"dirty\": " + origin.dirty() + ",\n")
        + ("  \"note\": " + text(origin.note()) + ",\n")
        + ("  \"hardware\": {\"cpu\": " + text(Machine.cpuModel()))
        + (", \"cores\": " + Machine.cores())
        + (", \"memoryGiB\": " + number(Machine.memoryGiB()))
        + (", \"os\": " + text(Machine.operatingSystem()))
        + (", \"gpus\": " + texts(Machine.gpus(plan.onGpu())))
        + (plan.onGpu() ? ", \"l2\": \"not flushed\"" : "")
        + (", \"loadAverageBefore\": " + number(origin.loadBefore()))
        + (", \"loadAverageAfter\": " + number(Machine.loadAverage()) + "},\n")
        + ("  \"jdk\": " + text(Machine.jdk()) + ",\n")
        + ("  \"jvmFlags\": " + texts(origin.jvmFlags()) + ",\n")
        + ("  \"forks\": " + plan.forks())
        + (", \"warmupIterations\": " + plan.warmups())
        + (", \"iterations\": " + plan.iterations())
        + (", \"iterationMillis\": " + plan.millis() + ",\n")
        + ("  \"summary\": [\n" + String.join(",\n", summary) + "\n  ],\n")
        + ("  \"jmh\": " + jmh(outcomes) + "}\n");
  }

  private static String summary(Outcome outcome) {
    StringBuilder line = new StringBuilder("{\"form\": " + text(outcome.measured().form()));
    for (Map.Entry<String, String> parameter : outcome.measured().parameters().entrySet()) {
      line.append(", ").append(text(parameter.getKey())).append(": ");
      line.append(
          parameter.getValue().matches("[0-9]+")
              ? parameter.getValue()
              : text(parameter.getValue()));
    }
    for (String name : MeterProfiler.ALL) {
      double value = outcome.get(name);
      if (!Double.isNaN(value)) {
        line.append(", ").append(text(name)).append(": ").append(number(value));
      }
    }
    return line.append('}').toString();
  }

  private static String jmh(List<Outcome> outcomes) {
    List<RunResult> results = new ArrayList<>();
    for (Outcome outcome : outcomes) {
      results.add(outcome.result());
    }
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (PrintStream out = new PrintStream(bytes, false, StandardCharsets.UTF_8)) {
      ResultFormatFactory.getInstance(ResultFormatType.JSON, out).writeOut(results);
    }
    return bytes.toString(StandardCharsets.UTF_8);
  }

  private static String texts(List<String> values) {
    List<String> quoted = new ArrayList<>();
    for (String value : values) {
      quoted.add(text(value));
    }
    return "[" + String.join(", ", quoted) + "]";
  }

  private static String text(String value) {
    StringBuilder quoted = new StringBuilder("\"");
    for (int i = 0; i < value.length(); i++) {
      char c = value.charAt(i);
      if (c == '"' || c == '\\') {
        quoted.append('\\').append(c);
      } else if (c < ' ') {
        quoted.append(String.format("\\u%04x", (int) c));
      } else {
        quoted.append(c);
      }
    }
    return quoted.append('"').toString();
  }

  private static String number(double value) {
    return Double.isFinite(value) ? String.format(Locale.ROOT, "%.4g", value) : "null";
  }
}
