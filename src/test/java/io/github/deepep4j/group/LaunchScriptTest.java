package io.github.deepep4j.group;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code scripts/launch.sh}, with small commands and with JVMs. */
final class LaunchScriptTest {
  private static final long PATIENCE_SECONDS = 60;

  @TempDir Path temporary;

  /**
   * How a run ended.
   *
   * @param status exit status
   * @param lines what it printed, both streams
   */
  private record Outcome(int status, List<String> lines) {}

  private ProcessBuilder launch(Map<String, String> variables, String... arguments) {
    List<String> command = new ArrayList<>(List.of("bash", "scripts/launch.sh"));
    command.addAll(List.of(arguments));
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder
        .environment()
        .keySet()
        .removeAll(List.of("MASTER_ADDR", "MASTER_PORT", "DEEPEP4J_SECRET", "RANK", "WORLD_SIZE"));
    builder.environment().putAll(variables);
    return builder.redirectOutput(output().toFile());
  }

  private Path output() {
    return temporary.resolve("output");
  }

  private Outcome run(Map<String, String> variables, String... arguments)
      throws IOException, InterruptedException {
    return finish(launch(variables, arguments).start());
  }

  private Outcome run(String... arguments) throws IOException, InterruptedException {
    return run(Map.of(), arguments);
  }

  private Outcome finish(Process process) throws IOException, InterruptedException {
    try {
      assertThat(process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS))
          .as("it ends: %s", Files.readString(output()))
          .isTrue();
    } finally {
      process.destroyForcibly();
    }
    return new Outcome(process.exitValue(), Files.readAllLines(output()));
  }

  private void awaitOutput(int lines) throws IOException, InterruptedException {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
    while (Files.readAllLines(output()).size() < lines && System.nanoTime() - deadline < 0) {
      Thread.sleep(20);
    }
    assertThat(Files.readAllLines(output())).hasSizeGreaterThanOrEqualTo(lines);
  }

  @Test
  void shouldTellEachRankWhoItIs_whenStarted() throws Exception {
    String script =
        "echo \"$RANK $LOCAL_RANK $WORLD_SIZE $MASTER_ADDR ${#DEEPEP4J_SECRET}\"; echo $MASTER_PORT;"
            + " echo error >&2";
    Outcome outcome = run("-n", "3", "bash", "-c", script);
    assertThat(outcome.status()).isZero();
    for (int rank = 0; rank < 3; rank++) {
      String prefix = "[rank " + rank + "] ";
      List<String> own = outcome.lines().stream().filter(line -> line.startsWith(prefix)).toList();
      assertThat(own).hasSize(3).contains(prefix + "error");
      assertThat(own.get(0)).isEqualTo(prefix + rank + " " + rank + " 3 127.0.0.1 64");
      assertThat(own.get(1)).matches("\\[rank \\d] \\d{5}");
    }
    Stream<String> ports =
        outcome.lines().stream().filter(line -> line.matches("\\[rank \\d] \\d{5}"));
    assertThat(ports.map(line -> line.substring(9)).distinct()).hasSize(1);
  }

  @Test
  void shouldKeepWhatIsGiven_whenVariablesOrAPortAreSet() throws Exception {
    Map<String, String> variables =
        Map.of("MASTER_ADDR", "localhost", "MASTER_PORT", "123", "DEEPEP4J_SECRET", "s p a c e");
    String script = "echo \"$MASTER_ADDR $MASTER_PORT $DEEPEP4J_SECRET\"";
    assertThat(run(variables, "-n", "1", "bash", "-c", script))
        .isEqualTo(new Outcome(0, List.of("[rank 0] localhost 123 s p a c e")));
    assertThat(run(variables, "-p", "456", "-n", "1", "--", "bash", "-c", script))
        .isEqualTo(new Outcome(0, List.of("[rank 0] localhost 456 s p a c e")));
  }

  @Test
  void shouldHideTheSecret_whenCommandLinesAreListed() throws Exception {
    // A rank looks at all command lines of the machine that it may see.
    String script =
        "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c -F \"$DEEPEP4J_SECRET\"";
    // grep itself has it on its command line, so it must be exec'd from a file to be invisible.
    Path pattern = temporary.resolve("pattern");
    String hidden =
        "printf %s \"$DEEPEP4J_SECRET\" > '"
            + pattern
            + "'; "
            + script.replace("grep -c -F \"$DEEPEP4J_SECRET\"", "grep -c -F -f '" + pattern + "'")
            + " || true";
    assertThat(run("-n", "1", "bash", "-c", hidden))
        .isEqualTo(new Outcome(0, List.of("[rank 0] 0")));
  }

  @Test
  void shouldEndTheOthersAndGiveItsStatus_whenARankFails() throws Exception {
    String script =
        "if [ $RANK = 1 ]; then exit 7; fi; trap 'echo ended; exit 1' TERM; echo up;"
            + " while true; do sleep 0.05; done";
    Outcome outcome = run("-n", "3", "bash", "-c", script);
    assertThat(outcome.status()).isEqualTo(7);
    assertThat(outcome.lines())
        .contains("launch.sh: rank 1 ended with status 7; ending the others");
  }

  @Test
  void shouldKillARank_whenItIgnoresTerm() throws Exception {
    String script =
        "trap '' TERM; echo $$; if [ $RANK = 0 ]; then sleep 0.3; kill -KILL $$; fi; while true; do"
            + " sleep 0.05; done";
    Outcome outcome = run("-g", "1", "-n", "2", "bash", "-c", script);
    assertThat(outcome.status()).isEqualTo(128 + 9);
    assertNobodyIsLeft(outcome);
  }

  private static void assertNobodyIsLeft(Outcome outcome) throws InterruptedException {
    List<Long> pids =
        outcome.lines().stream()
            .filter(line -> line.matches("\\[rank \\d] \\d+"))
            .map(line -> Long.valueOf(line.substring(9)))
            .toList();
    assertThat(pids).isNotEmpty();
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
    while (pids.stream().anyMatch(LaunchScriptTest::runs) && System.nanoTime() - deadline < 0) {
      Thread.sleep(20);
    }
    assertThat(pids).noneMatch(LaunchScriptTest::runs);
  }

  private static boolean runs(long pid) {
    return ProcessHandle.of(pid).map(ProcessHandle::isAlive).orElse(false);
  }

  @ParameterizedTest
  @CsvSource({"INT, 130", "TERM, 143", "HUP, 129"})
  void shouldEndEveryRank_whenSignalled(String signal, int status) throws Exception {
    // A rank's own children must go, too: sleep is one.
    String script = "sleep 300 & echo $!; echo $$; wait";
    // Job control gives the script a process group and default signals, as a terminal does.
    ProcessBuilder builder = launch(Map.of(), "-n", "2", "bash", "-c", script);
    builder
        .command()
        .addAll(0, List.of("bash", "-c", "set -m; \"$@\" & echo $!; fg %1 >/dev/null", "-"));
    Process process = builder.start();
    awaitOutput(5);
    String pid =
        Files.readAllLines(output()).stream()
            .filter(line -> line.matches("\\d+"))
            .findFirst()
            .orElseThrow();
    new ProcessBuilder("kill", "-" + signal, pid).start().waitFor();
    Outcome outcome = finish(process);
    assertThat(outcome.status()).isEqualTo(status);
    assertNobodyIsLeft(outcome);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "-n 0 true             | -n must be a number from 1 to 1024: '0'",
        "-n two true           | -n must be a number from 1 to 1024: 'two'",
        "-n 08 true            | -n must be a number from 1 to 1024: '08'",
        "-n 99999999999 true   | -n must be a number from 1 to 1024: '99999999999'",
        "true                  | -n N, the number of ranks, must be given",
        "-n                    | -n needs a value",
        "-n 2                  | a command must be given",
        "-n 2 no-such-command  | the command is not found: 'no-such-command'",
        "-n 2 -p 65536 true    | the port (-p or MASTER_PORT) must be a number from 1 to 65535: '65536'",
        "-n 2 -g x true        | -g must be a number from 0 to 3600: 'x'",
        "-y                    | unknown option -y",
      })
  void shouldNameTheRule_whenArgumentsBreakIt(String arguments, String message) throws Exception {
    Outcome outcome = run(arguments.split(" ", -1));
    assertThat(outcome.status()).isEqualTo(2);
    assertThat(outcome.lines()).singleElement().asString().startsWith("launch.sh: " + message);
  }

  @Test
  void shouldExplainItself_whenAskedForHelp() throws Exception {
    Outcome outcome = run("-h");
    assertThat(outcome.status()).isZero();
    assertThat(outcome.lines().get(0)).startsWith("usage: scripts/launch.sh -n N");
  }

  /** A rank that only joins. */
  static final class Joiner {
    private Joiner() {}

    /**
     * Joins, exchanges, says so.
     *
     * @param args none
     */
    public static void main(String[] args) {
      try (TcpGroup group = TcpGroup.fromEnvironment()) {
        int sum = 0;
        for (byte[] part : group.allGather(new byte[] {(byte) (1 + group.rank())})) {
          sum += part[0];
        }
        System.out.println("sum " + sum);
      }
    }
  }

  @Test
  void shouldFormAGroup_whenRanksAreJvms() throws Exception {
    Outcome outcome =
        run(
            "-n",
            "3",
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-Xmx64m",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            System.getProperty("java.class.path"),
            Joiner.class.getName());
    assertThat(outcome.status()).isZero();
    assertThat(outcome.lines())
        .containsExactlyInAnyOrder("[rank 0] sum 6", "[rank 1] sum 6", "[rank 2] sum 6");
  }
}
