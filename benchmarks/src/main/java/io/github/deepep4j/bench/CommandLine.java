package io.github.deepep4j.bench;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.function.Predicate;
import java.util.regex.Pattern;

/**
 * Options of {@code scripts/bench.sh}.
 *
 * @param plan what to measure
 * @param results where JSON and plot go
 * @param log where JMH's own output goes
 * @param commit of the tree, from the script
 * @param dirty whether the tree has changes, from the script
 * @param note words that go into the JSON
 * @param help whether only the usage is asked for
 */
record CommandLine(
    Plan plan, Path results, Path log, String commit, boolean dirty, String note, boolean help) {
  static final String USAGE =
      """
      scripts/bench.sh, or ./run bench in a bundle: [--quick | --smoke] [option...]
        --backend NAME     cpu or cuda (scripts/bench.sh: cpu; a bundle: cuda)
        --quick            the main cases: at most 3 minutes on 2 cores, 1 on a GPU; without it all cases, about
                           half an hour on the CPU, 3 minutes on a GPU
        --smoke            some seconds: whether the harness works; its numbers mean nothing
        --mode NAME        normal, low-latency or nodes: only cases of that mode; nodes: normal mode across nodes, and
                           the same on one node beside it
        --only REGEX       only cases whose line in the table contains a match, such as 'combine.*scalar'
        --ranks, --tokens, --hidden, --topk, --experts, --sms, --devices, --ranksPerNode LIST
                           sizes instead of the cases' own, such as --ranks 2,4; SMs are of each rank, and rank r is
                           on GPU r modulo the devices
        --dtype LIST       bf16, fp8, fp8cast, for all dispatch cases
        --forks N, --iterations N
                           instead of the plan's
        --out DIR          where JSON, plot and JMH's own log go; default benchmarks/results, of --smoke
                           benchmarks/target/smoke, in a bundle results
        --note TEXT        words that go into the JSON
      """;

  static CommandLine parse(String[] arguments) {
    Parser parser = new Parser(arguments);
    while (parser.next < arguments.length) {
      parser.option();
    }
    return parser.result();
  }

  private static final class Parser {
    private final String[] arguments;
    private final List<String[]> sizes = new ArrayList<>();
    private int next;
    private String mode = "full";
    private boolean onGpu;
    private boolean nodes;
    private String only = "";
    private Predicate<Case> ofMode = one -> true;
    private String results = "";
    private String commit = "unknown";
    private boolean dirty;
    private String note = "";
    private int forks;
    private int iterations;
    private boolean help;

    Parser(String[] arguments) {
      this.arguments = arguments;
    }

    void option() {
      String option = arguments[next++];
      switch (option) {
        case "--quick", "--smoke", "--full" -> mode = option.substring(2);
        case "--backend" -> onGpu = Choice.of(option, value(option), "cpu", "cuda");
        case "--only" -> only = value(option);
        case "--mode" -> {
          String wanted = value(option);
          nodes = wanted.equals("nodes");
          boolean lowLatency = !nodes && Choice.of(option, wanted, "normal", "low-latency");
          ofMode = one -> one.isLowLatency() == lowLatency;
        }
        case "--out" -> results = value(option);
        case "--commit" -> commit = value(option);
        case "--dirty" -> dirty = true;
        case "--note" -> note = value(option);
        case "--forks" -> forks = positive(option);
        case "--iterations" -> iterations = positive(option);
        case "-h", "--help" -> help = true;
        default -> {
          String name = option.startsWith("--") ? option.substring(2) : "";
          if (!Case.SIZES.contains(name)) {
            throw new IllegalArgumentException("unknown option " + option);
          }
          sizes.add(new String[] {name, value(option)});
        }
      }
    }

    private String value(String option) {
      if (next == arguments.length) {
        throw new IllegalArgumentException(option + " needs a value");
      }
      return arguments[next++];
    }

    private int positive(String option) {
      String text = value(option);
      if (!text.matches("[1-9][0-9]{0,5}")) {
        throw new IllegalArgumentException(option + " needs a number from 1: " + text);
      }
      return Integer.parseInt(text);
    }

    CommandLine result() {
      Plan plan =
          switch (mode) {
            case "quick" -> onGpu ? Plan.gpu(false) : Plan.quick();
            case "smoke" -> Plan.smoke(onGpu);
            default -> onGpu ? Plan.gpu(true) : Plan.full();
          };
      plan = nodes ? Plan.nodes(plan, onGpu) : plan;
      plan = plan.withCases(cases(plan));
      plan = forks > 0 ? plan.withForks(forks) : plan;
      plan = iterations > 0 ? plan.withIterations(iterations) : plan;
      Path target = Path.of("benchmarks", "target");
      Path folder =
          !results.isEmpty()
              ? Path.of(results)
              : mode.equals("smoke") ? target.resolve("smoke") : Path.of("benchmarks", "results");
      Path log = (results.isEmpty() ? target : folder).resolve("jmh.log");
      return new CommandLine(plan, folder, log, commit, dirty, note, help);
    }

    private List<Case> cases(Plan plan) {
      LinkedHashSet<Case> cases = new LinkedHashSet<>(plan.cases());
      for (String[] size : sizes) {
        List<String> values = List.of(size[1].split(","));
        LinkedHashSet<Case> changed = new LinkedHashSet<>();
        for (Case one : cases) {
          boolean fixed = size[0].equals("dtype") && one.benchmark() == NormalCombine.class;
          changed.addAll(fixed ? List.of(one) : one.withEach(size[0], values));
        }
        cases = changed;
      }
      Pattern wanted = Pattern.compile(only);
      List<Case> chosen = new ArrayList<>();
      for (Case one : cases) {
        if (ofMode.test(one) && wanted.matcher(one.form()).find()) {
          chosen.add(one);
        }
      }
      if (chosen.isEmpty()) {
        throw new IllegalArgumentException("no case of the mode matches --only " + only);
      }
      return chosen;
    }
  }
}
