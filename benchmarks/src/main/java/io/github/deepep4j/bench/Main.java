package io.github.deepep4j.bench;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.ZoneOffset;
import java.time.ZonedDateTime;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;

/** Runs a plan, prints the table, and writes the JSON and the plot. {@code scripts/bench.sh}. */
public final class Main {
  private static final List<String> JVM_FLAGS =
      List.of("-Xms512m", "-Xmx2g", "-XX:MaxDirectMemorySize=64g");

  /** From JDK 22 on, memory outside the heap is native access. */
  private static final String NATIVE_ACCESS = "--enable-native-access=ALL-UNNAMED";

  /** Where the native libraries are, if not in a jar: for the benchmarks' JVMs, too. */
  private static final String NATIVES = "deepep4j.native.dir";

  private static final List<String> VECTOR_FLAGS = List.of("--add-modules", "jdk.incubator.vector");

  private Main() {}

  /**
   * Runs.
   *
   * @param arguments see {@link CommandLine}
   * @throws IOException if a result can't be written
   */
  public static void main(String[] arguments) throws IOException {
    CommandLine line;
    try {
      line = CommandLine.parse(arguments);
    } catch (IllegalArgumentException wrong) {
      System.err.println("bench: " + wrong.getMessage() + "\n" + CommandLine.USAGE);
      System.exit(2);
      return;
    }
    if (line.help()) {
      System.out.print(CommandLine.USAGE);
      return;
    }
    try {
      run(line);
    } catch (RunnerException failed) {
      System.err.println("bench: " + reason(failed) + "; see " + line.log());
      System.exit(1);
    }
  }

  /** What lies deepest: JMH wraps a benchmark's failure several times, also as suppressed. */
  private static String reason(Throwable failure) {
    Throwable deepest = failure;
    while (true) {
      Throwable next = deepest.getCause();
      if (next == null && deepest.getSuppressed().length > 0) {
        next = deepest.getSuppressed()[0];
      }
      if (next == null) {
        return deepest.toString();
      }
      deepest = next;
    }
  }

  private static void run(CommandLine line) throws IOException, RunnerException {
    Plan plan = line.plan();
    ZonedDateTime start = ZonedDateTime.now(ZoneOffset.UTC);
    double loadBefore = Machine.loadAverage();
    System.out.printf(
        Locale.ROOT,
        "%s, %d cores, %.0f GiB, %s, commit %s%s, load average %.2f%n",
        Machine.cpuModel(),
        Machine.cores(),
        Machine.memoryGiB(),
        Machine.jdk(),
        line.commit(),
        line.dirty() ? " with changes" : "",
        loadBefore);
    Machine.gpus(plan.onGpu()).forEach(System.out::println);
    Table table = new Table(plan.onGpu());
    System.out.print(table.head());
    List<Outcome> outcomes = new ArrayList<>();
    Files.createDirectories(line.log().toAbsolutePath().getParent());
    Files.deleteIfExists(line.log());
    for (Case one : plan.cases()) {
      Outcome outcome = new Outcome(one, measure(plan, one, line.log()));
      outcomes.add(outcome);
      System.out.print(table.row(outcome));
    }
    ResultFile.Origin origin =
        new ResultFile.Origin(
            start.format(DateTimeFormatter.ISO_INSTANT),
            line.commit(),
            line.dirty(),
            loadBefore,
            flags(true),
            line.note());
    write(line, plan, origin, outcomes, start);
  }

  private static RunResult measure(Plan plan, Case one, Path log)
      throws RunnerException, IOException {
    Path part = Files.createTempFile("bench", ".log");
    TimeValue length = TimeValue.milliseconds(plan.millis());
    ChainedOptionsBuilder options =
        new OptionsBuilder()
            .include("^" + one.benchmark().getName().replace(".", "\\.") + "\\.")
            .forks(plan.forks())
            .warmupIterations(plan.warmups())
            .measurementIterations(plan.iterations())
            .warmupTime(length)
            .measurementTime(length)
            .timeout(TimeValue.minutes(3))
            .addProfiler(MeterProfiler.class)
            .shouldFailOnError(true)
            .jvmArgs(flags(one.needsVectorModule()).toArray(String[]::new))
            .output(part.toString());
    one.parameters().forEach(options::param);
    try {
      return new Runner(options.build()).runSingle();
    } finally {
      Files.write(
          log,
          Files.readAllBytes(part),
          java.nio.file.StandardOpenOption.CREATE,
          java.nio.file.StandardOpenOption.APPEND);
      Files.delete(part);
    }
  }

  private static List<String> flags(boolean vector) {
    List<String> flags = new ArrayList<>(JVM_FLAGS);
    flags.add(NATIVE_ACCESS);
    String natives = System.getProperty(NATIVES);
    if (natives != null) {
      flags.add("-D" + NATIVES + "=" + natives);
    }
    if (vector) {
      flags.addAll(VECTOR_FLAGS);
    }
    return flags;
  }

  private static void write(
      CommandLine line,
      Plan plan,
      ResultFile.Origin origin,
      List<Outcome> outcomes,
      ZonedDateTime start)
      throws IOException {
    String name =
        "%s_%s_%s%s_%s"
            .formatted(
                start.format(DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HHmm", Locale.ROOT)),
                plan.onGpu() ? Machine.shortGpuName() : Machine.shortName(),
                line.commit(),
                line.dirty() ? "-dirty" : "",
                plan.name());
    Files.createDirectories(line.results());
    Path json = line.results().resolve(name + ".json");
    Path svg = line.results().resolve(name + ".svg");
    Files.writeString(json, ResultFile.json(origin, plan, outcomes));
    String title =
        "DeepEP4J on %s, commit %s%s, %s"
            .formatted(
                plan.onGpu()
                    ? Machine.shortGpuName()
                    : Machine.cpuModel() + ", " + Machine.cores() + " cores",
                line.commit(),
                line.dirty() ? " with changes" : "",
                origin.started().substring(0, 10));
    System.out.println("written: " + json);
    // What the multiprocessors do is a question of normal mode.
    List<Outcome> plotted =
        outcomes.stream().filter(one -> !plan.onGpu() || !one.measured().isLowLatency()).toList();
    if (!plotted.isEmpty()) {
      Files.writeString(svg, plan.onGpu() ? SmPlot.svg(title, plotted) : Plot.svg(title, plotted));
      System.out.println("         " + svg);
    }
  }
}
