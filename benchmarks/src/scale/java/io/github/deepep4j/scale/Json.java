package io.github.deepep4j.scale;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The report as JSON: parameters and results, unrounded enough to compute with. */
final class Json {
  private Json() {}

  /** One document. */
  static String document(Report report, Map<String, Object> about) {
    Map<String, Object> all = new LinkedHashMap<>(about);
    all.put(
        "calibration",
        ordered(
            "dispatch", calibration(report.dispatch()), "combine", calibration(report.combine())));
    List<Object> checks = new ArrayList<>();
    for (Report.Check check : report.checks()) {
      checks.add(
          ordered(
              "figure", check.published().name(),
              "operation", check.operation().name(),
              "machine", check.machine(),
              "publishedGbs", check.published().gbs(check.operation()),
              "simulatedGbs", check.simulated(),
              "deviation", check.deviation(),
              "fitted", check.fitted()));
    }
    all.put("checks", checks);
    all.put("scaling", report.scaling().stream().map(Json::row).toList());
    all.put("smSweep", report.smSweep().stream().map(Json::row).toList());
    all.put("windowSweep", report.windowSweep().stream().map(Json::row).toList());
    StringBuilder text = new StringBuilder();
    write(text, all, "");
    return text.append('\n').toString();
  }

  private static Map<String, Object> calibration(Calibration fit) {
    return ordered("nvlinkEfficiency", fit.nvlink(), "nicEfficiency", fit.nic());
  }

  private static Object row(Report.Row row) {
    Machine machine = row.machine();
    Workload workload = row.workload();
    Outcome outcome = row.outcome();
    return ordered(
        "machine", machine.name(),
        "operation", workload.operation().name(),
        "nodes", workload.numNodes(),
        "ranks", row.numRanks(),
        "maxNodesOfToken", workload.maxNodes(),
        "tokensPerRank", workload.numTokens(),
        "rowBytes", workload.rowBytes(),
        "topk", workload.numTopk(),
        "experts", workload.numExperts(row.numRanks()),
        "chunkRows", workload.chunkRows(),
        "window", workload.window(),
        "nvlinkGbs", machine.nvlinkGbs(),
        "nicGbs", machine.nicGbs(),
        "smGbs", machine.smGbs(),
        "sms", machine.sms(),
        "timeNs", outcome.timeNs(),
        "countedNetworkGbs", outcome.countedNetworkGbs(),
        "nicSentGbs", outcome.nicGbs(),
        "countedRowGbs", outcome.countedRowGbs(),
        "nicBytes", outcome.nicBytes(),
        "nvlinkBytes", outcome.nvlinkBytes(),
        "stagingBytes", workload.stagingBytes(),
        "memoryBytes", row.memoryBytes(),
        "peakStagingBytes", outcome.peakStagingBytes(),
        "nicLoad", outcome.nicLoad(),
        "nvlinkLoad", outcome.nvlinkLoad(),
        "smLoad", outcome.smLoad(),
        "limit", outcome.limit());
  }

  /** A map of names and values in turn. */
  static Map<String, Object> ordered(Object... namesAndValues) {
    Map<String, Object> map = new LinkedHashMap<>();
    for (int i = 0; i < namesAndValues.length; i += 2) {
      map.put((String) namesAndValues[i], namesAndValues[i + 1]);
    }
    return map;
  }

  private static void write(StringBuilder text, Object value, String indent) {
    if (value instanceof Map<?, ?> map) {
      boolean flat = map.values().stream().noneMatch(v -> v instanceof Map || v instanceof List);
      String inner = flat ? " " : "\n" + indent + "  ";
      String separator = "{" + inner;
      for (Map.Entry<?, ?> entry : map.entrySet()) {
        text.append(separator).append('"').append(entry.getKey()).append("\": ");
        write(text, entry.getValue(), indent + "  ");
        separator = "," + inner;
      }
      text.append(flat ? " }" : "\n" + indent + "}");
    } else if (value instanceof List<?> list) {
      String separator = "[\n";
      for (Object item : list) {
        text.append(separator).append(indent).append("  ");
        write(text, item, indent + "  ");
        separator = ",\n";
      }
      text.append('\n').append(indent).append(']');
    } else if (value instanceof Double number) {
      text.append(String.format(Locale.ROOT, "%.4f", number));
    } else if (value instanceof Number || value instanceof Boolean) {
      text.append(value);
    } else {
      text.append('"').append(value).append('"');
    }
  }
}
