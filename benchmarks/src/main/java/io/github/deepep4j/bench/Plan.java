package io.github.deepep4j.bench;

import java.util.ArrayList;
import java.util.List;

/**
 * What a run measures and for how long.
 *
 * @param name {@code quick}, {@code full} or {@code smoke}
 * @param cases the benchmarks
 * @param forks JVMs for each
 * @param warmups iterations that are thrown away
 * @param iterations iterations that count
 * @param millis length of an iteration, the plain copy apart
 */
record Plan(String name, List<Case> cases, int forks, int warmups, int iterations, int millis) {

  /** At most three minutes on two cores. */
  static Plan quick() {
    return new Plan("quick", common(), 1, 4, 8, 250);
  }

  /**
   * On GPUs: the forms that have a target, over multiprocessors and ranks, and the other forms
   * beside them; a few minutes.
   *
   * @param everything else only what has a target
   */
  static Plan gpu(boolean everything) {
    List<Case> cases = new ArrayList<>();
    Case dispatch = onGpu(dispatch("cached", "rank", "borrowed"));
    Case combine = onGpu(combine("rank", "zerocopy", "plain"));
    List<Case> targets = List.of(dispatch, dispatch.with("dtype", "fp8"), combine);
    cases.addAll(lowLatencyTargets());
    if (everything) {
      cases.addAll(besideLowLatencyTargets());
      for (String ranks : List.of("2", "4")) {
        for (Case target : targets) {
          cases.addAll(target.with("ranks", ranks).withEach("sms", List.of("8", "12", "24")));
        }
      }
      cases.addAll(besideTargets());
      cases.add(dispatch.with("ranks", "1"));
      cases.add(combine.with("ranks", "1"));
    } else {
      cases.addAll(targets);
      cases.add(dispatch.with("sms", "8"));
      cases.add(combine.with("sms", "12"));
      targets.forEach(target -> cases.add(target.with("ranks", "4")));
      cases.add(onGpu(dispatch("exact", "rank", "borrowed")));
    }
    return new Plan(everything ? "gpu" : "gpu-quick", cases, 1, 2, 5, 150);
  }

  /** The pairs that have a target, and a kernel between the halves of each operation. */
  private static List<Case> lowLatencyTargets() {
    List<Case> cases = new ArrayList<>();
    Case pair = lowLatencyOnGpu(lowLatency("pair")).with("dtype", "fp8cast");
    cases.add(pair);
    cases.add(pair.with("experts", "32"));
    cases.add(pair.with("tokens", "16"));
    cases.add(pair.with("tokens", "32").with("experts", "32").with("ranks", "4"));
    for (String operation : List.of("dispatch", "combine")) {
      cases.add(
          lowLatencyOnGpu(Case.of(LowLatencyOverlap.class, "operation", operation))
              .with("dtype", "fp8cast")
              .with("computeRows", "2048")
              .with("computeSms", "32"));
    }
    return cases;
  }

  private static List<Case> besideLowLatencyTargets() {
    List<Case> cases = new ArrayList<>();
    for (String operation :
        List.of(
            "dispatch",
            "combine",
            "dispatchSend",
            "dispatchReceive",
            "combineSend",
            "combineReceive")) {
      cases.add(lowLatencyOnGpu(lowLatency(operation)).with("dtype", "fp8cast"));
    }
    Case pair = lowLatencyOnGpu(lowLatency("pair"));
    cases.add(pair);
    cases.add(pair.with("tokens", "128"));
    cases.add(pair.with("ranks", "8"));
    cases.add(pair.with("ranks", "1"));
    cases.add(pair.with("sms", "24"));
    cases.add(lowLatencyOnGpu(lowLatency("dispatch")));
    return cases;
  }

  /** As many multiprocessors as the library gives. */
  private static Case lowLatencyOnGpu(Case one) {
    return one.with("backend", "cuda");
  }

  private static List<Case> besideTargets() {
    List<Case> cases = new ArrayList<>();
    for (Case one :
        List.of(
            dispatch("exact", "rank", "borrowed"),
            dispatch("cached", "rank", "owned"),
            dispatch("cached", "rank", "borrowed").with("dtype", "fp8cast"),
            dispatch("cached", "expert", "borrowed"),
            dispatch("exact", "expert", "borrowed"),
            combine("rank", "staged", "plain"),
            combine("expert", "zerocopy", "plain"),
            combine("expert", "zerocopy", "weighted"))) {
      cases.add(onGpu(one));
    }
    return cases;
  }

  private static Case onGpu(Case one) {
    return one.with("backend", "cuda")
        .with("tokens", "4096")
        .with("experts", "256")
        .with("sms", "24");
  }

  /**
   * Normal mode across nodes that are parts of this machine, each form on one node first.
   *
   * @param how for how long
   */
  static Plan nodes(Plan how, boolean onGpu) {
    List<Case> cases = new ArrayList<>();
    Case dispatch = dispatch("cached", "rank", "borrowed");
    for (Case one :
        List.of(
            dispatch,
            dispatch.with("dtype", "fp8"),
            dispatch("exact", "rank", "borrowed"),
            combine("rank", "zerocopy", "plain"))) {
      Case placed = onGpu ? onGpu(one) : one;
      cases.addAll(placed.with("ranks", "4").withEach("ranksPerNode", List.of("0", "2", "1")));
    }
    return how.withCases(cases);
  }

  /** All forms, more sizes, three JVMs each: about half an hour on two cores. */
  static Plan full() {
    List<Case> cases = new ArrayList<>(common());
    cases.add(dispatch("cached", "expert", "borrowed").with("dtype", "fp8"));
    cases.add(dispatch("exact", "rank", "borrowed").with("dtype", "fp8"));
    cases.add(combine("expert", "zerocopy", "plain"));
    cases.add(combine("expert", "zerocopy", "weighted").with("arithmetic", "scalar"));
    cases.add(lowLatency("combine").with("arithmetic", "scalar"));
    Case dispatch = dispatch("cached", "rank", "borrowed");
    Case combine = combine("rank", "zerocopy", "plain");
    for (Case one : List.of(dispatch, combine)) {
      cases.addAll(one.withEach("ranks", List.of("1", "4", "8")));
      cases.addAll(one.withEach("tokens", List.of("64", "4096")));
      cases.addAll(one.withEach("hidden", List.of("1024", "2048")));
      cases.add(one.with("topk", "2").with("experts", "16"));
    }
    for (String operation : List.of("dispatch", "combine", "pair")) {
      cases.addAll(lowLatency(operation).withEach("tokens", List.of("1", "16", "128")));
      cases.add(
          lowLatency(operation).with("ranks", "4").with("experts", "32").with("tokens", "32"));
    }
    return new Plan("full", cases, 3, 5, 10, 300);
  }

  /** Seconds: does the harness work? Its numbers mean nothing. */
  static Plan smoke(boolean onGpu) {
    List<Case> cases = new ArrayList<>();
    for (Case one :
        List.of(
            dispatch("exact", "rank", "owned").with("dtype", "fp8cast"),
            dispatch("cached", "expert", "borrowed").with("dtype", "fp8"),
            combine("rank", "staged", "plain").with("arithmetic", "scalar"),
            combine("expert", "zerocopy", "weighted"),
            lowLatency("pair").with("dtype", "fp8cast"),
            lowLatency("dispatchSend"),
            lowLatency("dispatchReceive").with("dtype", "fp8cast"),
            lowLatency("combineSend"),
            lowLatency("combineReceive"))) {
      cases.add(small(one, onGpu));
    }
    for (Case one :
        List.of(
            dispatch("cached", "rank", "borrowed"), combine("expert", "zerocopy", "weighted"))) {
      cases.add(small(one, onGpu).with("ranks", "4").with("ranksPerNode", "2"));
    }
    if (onGpu) {
      Case overlap = Case.of(LowLatencyOverlap.class, "operation", "dispatch");
      cases.add(small(overlap, true).with("computeRows", "256").with("computeSms", "4"));
    }
    return new Plan("smoke", cases, 1, 1, 1, 50);
  }

  private static Case small(Case one, boolean onGpu) {
    return one.with("tokens", "13")
        .with("hidden", "256")
        .with("topk", "3")
        .with("experts", "12")
        .with("ranks", "3")
        .with("backend", onGpu ? "cuda" : "cpu")
        .with("sms", onGpu ? "4" : "0");
  }

  private static List<Case> common() {
    List<Case> cases = new ArrayList<>();
    cases.add(dispatch("cached", "rank", "borrowed"));
    cases.add(dispatch("exact", "rank", "borrowed"));
    cases.add(dispatch("cached", "rank", "owned"));
    cases.add(dispatch("cached", "rank", "borrowed").with("dtype", "fp8"));
    cases.add(dispatch("cached", "rank", "borrowed").with("dtype", "fp8cast"));
    cases.add(dispatch("exact", "expert", "borrowed"));
    cases.add(combine("rank", "zerocopy", "plain"));
    cases.add(combine("rank", "zerocopy", "plain").with("arithmetic", "scalar"));
    cases.add(combine("rank", "staged", "plain"));
    cases.add(combine("expert", "zerocopy", "weighted"));
    cases.add(lowLatency("dispatch"));
    cases.add(lowLatency("dispatch").with("dtype", "fp8cast"));
    cases.add(lowLatency("combine"));
    cases.add(lowLatency("pair"));
    cases.add(lowLatency("pair").with("dtype", "fp8cast"));
    return cases;
  }

  private static Case dispatch(String routing, String order, String memory) {
    return Case.of(NormalDispatch.class, "order", order, "routing", routing, "memory", memory);
  }

  private static Case combine(String order, String input, String weights) {
    return Case.of(NormalCombine.class, "order", order, "input", input, "weights", weights);
  }

  private static Case lowLatency(String operation) {
    return Case.of(LowLatency.class, "operation", operation);
  }

  /** Whether it runs on GPUs. */
  boolean onGpu() {
    return cases.get(0).onGpu();
  }

  Plan withCases(List<Case> chosen) {
    return new Plan(name, chosen, forks, warmups, iterations, millis);
  }

  Plan withForks(int count) {
    return new Plan(name, cases, count, warmups, iterations, millis);
  }

  Plan withIterations(int count) {
    return new Plan(name, cases, forks, warmups, count, millis);
  }
}
