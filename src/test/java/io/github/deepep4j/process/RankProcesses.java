package io.github.deepep4j.process;

import io.github.deepep4j.group.FreePort;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * Ranks as JVMs with the test's class path, told who they are as launchers do. A rank prints lines,
 * and the test waits for them; the test says "go", and the rank waits for that on its standard
 * input. Closing kills what still runs.
 */
public final class RankProcesses implements AutoCloseable {
  /** What a healthy step may take at most on a crowded machine. */
  static final Duration PATIENCE = Duration.ofSeconds(90);

  private final List<Rank> ranks = new ArrayList<>();

  /** One JVM. */
  private static final class Rank {
    final Process process;
    final List<String> lines = new ArrayList<>();
    private boolean ended;

    Rank(Process process) {
      this.process = process;
    }

    void readAll() {
      try (BufferedReader reader =
          new BufferedReader(
              new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
        for (String line = reader.readLine(); line != null; line = reader.readLine()) {
          add(line);
        }
      } catch (IOException e) {
        add("reading failed: " + e);
      } finally {
        end();
      }
    }

    private synchronized void add(String line) {
      lines.add(line);
      notifyAll();
    }

    private synchronized void end() {
      ended = true;
      notifyAll();
    }

    synchronized String await(String prefix) throws InterruptedException {
      long deadline = System.nanoTime() + PATIENCE.toNanos();
      while (true) {
        for (String line : lines) {
          if (line.startsWith(prefix)) {
            return line;
          }
        }
        long remaining = TimeUnit.NANOSECONDS.toMillis(deadline - System.nanoTime());
        if (ended || remaining <= 0) {
          throw new AssertionError(
              "no line begins with '" + prefix + "':\n" + String.join("\n", lines));
        }
        wait(remaining);
      }
    }

    synchronized String output() {
      return String.join("\n", lines);
    }
  }

  /**
   * Starts a group of JVMs.
   *
   * @param size n
   * @param main what each runs
   * @param arguments its arguments
   */
  RankProcesses(int size, Class<?> main, String... arguments) throws IOException {
    for (ProcessBuilder builder : builders(size, main, arguments)) {
      Rank started = new Rank(builder.redirectErrorStream(true).start());
      Thread reader = new Thread(started::readAll, "output-of-rank-" + ranks.size());
      ranks.add(started);
      reader.setDaemon(true);
      reader.start();
    }
  }

  /**
   * How each rank of a group is started, told who it is as launchers do.
   *
   * @param size n
   * @param main what each runs
   * @param arguments its arguments
   * @return by rank
   */
  public static List<ProcessBuilder> builders(int size, Class<?> main, String... arguments)
      throws IOException {
    int port = FreePort.find();
    List<ProcessBuilder> builders = new ArrayList<>();
    for (int rank = 0; rank < size; rank++) {
      ProcessBuilder builder = new ProcessBuilder(command(main, inherited(), arguments));
      builder
          .environment()
          .putAll(
              Map.of(
                  "RANK", "" + rank,
                  "LOCAL_RANK", "" + rank,
                  "WORLD_SIZE", "" + size,
                  "MASTER_ADDR", "127.0.0.1",
                  "MASTER_PORT", "" + port,
                  "DEEPEP4J_SECRET", "only for this test " + port));
      builders.add(builder);
    }
    return builders;
  }

  /** What a rank must know as its parent does: the device under test and where the natives lie. */
  private static List<String> inherited() {
    List<String> options = new ArrayList<>();
    for (Object name : System.getProperties().keySet()) {
      if (name.toString().startsWith("deepep4j.")) {
        options.add("-D" + name + "=" + System.getProperty(name.toString()));
      }
    }
    return options;
  }

  /** A command line for a JVM like this one. */
  static List<String> command(Class<?> main, List<String> options, String... arguments) {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx128m",
                // These JVMs live a few seconds, and several share a core.
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "--enable-native-access=ALL-UNNAMED"));
    command.addAll(options);
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), main.getName()));
    command.addAll(List.of(arguments));
    return command;
  }

  /** Waits for a line that begins so, and gives it. */
  String await(int rank, String prefix) throws InterruptedException {
    try {
      return ranks.get(rank).await(prefix);
    } catch (AssertionError e) {
      throw new AssertionError("rank " + rank + ": " + e.getMessage() + describe(), e);
    }
  }

  /** Lets a rank go on from where it waits for it. */
  void go(int rank) {
    try {
      var out = ranks.get(rank).process.getOutputStream();
      out.write('\n');
      out.flush();
    } catch (IOException e) {
      throw new UncheckedIOException("rank " + rank + " does not listen" + describe(), e);
    }
  }

  /** Kills a rank, as a crash would, and waits until it is gone. */
  void kill(int rank) throws InterruptedException {
    Process process = ranks.get(rank).process;
    if (!process.destroyForcibly().waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)) {
      throw new AssertionError("rank " + rank + " survives SIGKILL");
    }
  }

  /** Sends a signal by name. */
  void signal(int rank, String name) throws IOException, InterruptedException {
    long pid = ranks.get(rank).process.pid();
    int status = new ProcessBuilder("kill", "-" + name, "" + pid).inheritIO().start().waitFor();
    if (status != 0) {
      throw new AssertionError("kill -" + name + " of rank " + rank + " gave " + status);
    }
  }

  /** Waits for a rank's good end. */
  void assertSuccess(int rank) throws InterruptedException {
    Process process = ranks.get(rank).process;
    if (!process.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)) {
      throw new AssertionError("rank " + rank + " does not end" + describe());
    }
    if (process.exitValue() != 0) {
      throw new AssertionError("rank " + rank + " ended with " + process.exitValue() + describe());
    }
  }

  /** Waits for every rank's good end. */
  void assertSuccess() throws InterruptedException {
    for (int rank = 0; rank < ranks.size(); rank++) {
      assertSuccess(rank);
    }
  }

  private String describe() {
    StringBuilder text = new StringBuilder("\n");
    for (int rank = 0; rank < ranks.size(); rank++) {
      text.append("--- output of rank ").append(rank).append('\n');
      text.append(ranks.get(rank).output()).append('\n');
    }
    return text.toString();
  }

  @Override
  public void close() {
    for (Rank rank : ranks) {
      rank.process.destroyForcibly();
    }
  }
}
