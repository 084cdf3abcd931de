package io.github.deepep4j.bench;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * One benchmark with all its parameters.
 *
 * @param benchmark the class
 * @param parameters of JMH, by name
 */
record Case(Class<? extends Collective> benchmark, Map<String, String> parameters) {
  /** Parameters that the command line may change. */
  static final List<String> SIZES =
      List.of(
          "ranks",
          "tokens",
          "hidden",
          "topk",
          "experts",
          "dtype",
          "devices",
          "sms",
          "ranksPerNode");

  private static final List<String> NOT_IN_LINES =
      List.of("backend", "arithmetic", "computeRows", "computeSms");

  /** Makes a case from alternating names and values. */
  static Case of(Class<? extends Collective> benchmark, String... namesAndValues) {
    Map<String, String> parameters = new LinkedHashMap<>();
    parameters.put("backend", "cpu");
    parameters.put("ranks", "2");
    parameters.put("tokens", isLowLatency(benchmark) ? "64" : "512");
    parameters.put("hidden", "7168");
    parameters.put("topk", "8");
    parameters.put("experts", "64");
    parameters.put("dtype", "bf16");
    parameters.put("arithmetic", "vector");
    parameters.put("devices", "1");
    parameters.put("sms", "0");
    parameters.put("ranksPerNode", "0");
    Case made = new Case(benchmark, parameters);
    for (int i = 0; i < namesAndValues.length; i += 2) {
      made = made.with(namesAndValues[i], namesAndValues[i + 1]);
    }
    return made;
  }

  /** This case with another value of a parameter. */
  Case with(String name, String value) {
    Map<String, String> changed = new LinkedHashMap<>(parameters);
    changed.put(name, value);
    return new Case(benchmark, changed);
  }

  /** This case with each of several values of a parameter. */
  List<Case> withEach(String name, List<String> values) {
    List<Case> cases = new ArrayList<>();
    for (String value : values) {
      cases.add(with(name, value));
    }
    return cases;
  }

  boolean isLowLatency() {
    return isLowLatency(benchmark);
  }

  private static boolean isLowLatency(Class<? extends Collective> benchmark) {
    return benchmark == LowLatency.class || benchmark == LowLatencyOverlap.class;
  }

  /** Whether the ranks are of several nodes. */
  boolean isAcrossNodes() {
    String perNode = parameters.get("ranksPerNode");
    return !perNode.equals("0") && !perNode.equals(parameters.get("ranks"));
  }

  boolean onGpu() {
    return parameters.get("backend").equals("cuda");
  }

  boolean needsVectorModule() {
    return parameters.get("arithmetic").equals("vector");
  }

  /** The form in words: what is called, without sizes. */
  String form() {
    StringBuilder text = new StringBuilder();
    if (benchmark == NormalDispatch.class) {
      text.append("dispatch");
    } else if (benchmark == NormalCombine.class) {
      text.append("combine");
    } else {
      text.append(benchmark == LowLatencyOverlap.class ? "LL overlap" : "LL");
    }
    parameters.forEach(
        (name, value) -> {
          if (!SIZES.contains(name) && !NOT_IN_LINES.contains(name)) {
            text.append(' ').append(name.equals("order") ? value + "-major" : value);
          }
        });
    text.append(' ').append(parameters.get("dtype"));
    if (!needsVectorModule()) {
      text.append(" scalar");
    }
    return text.toString();
  }

  private String sms() {
    return parameters.get("sms").equals("0") ? "default" : parameters.get("sms");
  }

  /** The sizes in words. */
  String sizes() {
    String place =
        onGpu() ? "cuda × %s, %s SMs per rank".formatted(parameters.get("devices"), sms()) : "cpu";
    String perNode = parameters.get("ranksPerNode");
    return "%s: %s ranks%s × %s tokens, H %s, top-%s of %s"
        .formatted(
            place,
            parameters.get("ranks"),
            perNode.equals("0") ? "" : ", %s of a node,".formatted(perNode),
            parameters.get("tokens"),
            parameters.get("hidden"),
            parameters.get("topk"),
            parameters.get("experts"));
  }
}
