package io.github.deepep4j.group;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * {@code scripts/launch.sh} with a list of hosts. Every host is this machine: what stands for ssh
 * starts the shell in a session of its own, with an empty environment, so that only its input ties
 * it to the script.
 */
final class LaunchOnHostsTest {
  private static final long PATIENCE_SECONDS = 60;

  @TempDir Path temporary;

  private Path ssh;
  private Path sshCalls;

  /**
   * How a run ended.
   *
   * @param status exit status
   * @param lines what it printed, both streams
   */
  private record Outcome(int status, List<String> lines) {}

  @BeforeEach
  void makeSsh() throws IOException {
    ssh = temporary.resolve("ssh");
    sshCalls = temporary.resolve("calls");
    Files.writeString(
        ssh,
        """
        #!/usr/bin/env bash
        host=$1
        shift
        echo "$host: $*" >>'%s'
        env -i PATH="$PATH" ON_HOST="$host" setsid -w "$@"
        """
            .formatted(sshCalls));
    assertThat(ssh.toFile().setExecutable(true)).isTrue();
  }

  private Outcome run(Map<String, String> variables, String... arguments)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>(List.of("bash", "scripts/launch.sh"));
    command.addAll(List.of(arguments));
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder
        .environment()
        .keySet()
        .removeAll(List.of("MASTER_ADDR", "MASTER_PORT", "DEEPEP4J_SECRET", "RANK", "WORLD_SIZE"));
    builder.environment().put("DEEPEP4J_SSH", ssh.toString());
    builder.environment().putAll(variables);
    Path output = temporary.resolve("output");
    Process process = builder.redirectOutput(output.toFile()).start();
    try {
      assertThat(process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)).isTrue();
    } finally {
      process.destroyForcibly();
    }
    return new Outcome(process.exitValue(), Files.readAllLines(output));
  }

  @Test
  void shouldNumberRanksHostByHost_whenHostsHavePlaces() throws Exception {
    String script =
        "echo \"$ON_HOST $RANK $LOCAL_RANK $WORLD_SIZE $MASTER_ADDR ${#DEEPEP4J_SECRET} $PWD\"";
    Outcome outcome = run(Map.of(), "-H", "one:2,me@two", "bash", "-c", script);
    String here = Path.of("").toAbsolutePath().toString();
    assertThat(outcome.status()).isZero();
    assertThat(outcome.lines())
        .containsExactlyInAnyOrder(
            "[rank 0] one 0 0 3 one 64 " + here,
            "[rank 1] one 1 1 3 one 64 " + here,
            "[rank 2] me@two 2 0 3 one 64 " + here);
  }

  @Test
  void shouldReadAFile_whenTheListIsOne() throws Exception {
    Path hosts = temporary.resolve("hosts");
    Files.writeString(hosts, "# a list\n\none 2 # two places\ntwo");
    String script = "echo \"$ON_HOST $RANK $LOCAL_RANK\"";
    assertThat(run(Map.of(), "-H", hosts.toString(), "bash", "-c", script).lines())
        .containsExactlyInAnyOrder("[rank 0] one 0 0", "[rank 1] one 1 1", "[rank 2] two 2 0");
    assertThat(run(Map.of(), "-H", hosts.toString(), "-n", "1", "bash", "-c", script).lines())
        .containsExactly("[rank 0] one 0 0");
  }

  @Test
  void shouldPassVariablesOverTheInputOnly_whenRanksAreElsewhere() throws Exception {
    Map<String, String> variables =
        Map.of(
            "NVSHMEM_DEBUG", "a 'b\" $c", "MINE", "yes", "OTHER", "no", "DEEPEP4J_SECRET", "s s");
    String script = "echo \"[$NVSHMEM_DEBUG] [$MINE] [$OTHER] [$DEEPEP4J_SECRET]\"";
    assertThat(run(variables, "-H", "one", "-x", "MINE", "bash", "-c", script).lines())
        .containsExactly("[rank 0] [a 'b\" $c] [yes] [] [s s]");
    assertThat(Files.readAllLines(sshCalls)).containsExactly("one: bash -s");
  }

  @Test
  void shouldEndRanksElsewhere_whenOneFails() throws Exception {
    // Rank 0 and its child ignore TERM, and no signal of the script reaches their session.
    String script =
        "if [ $RANK = 1 ]; then sleep 0.5; exit 7; fi; trap '' TERM; sleep 300 & echo $!; echo $$;"
            + " wait; wait";
    Outcome outcome = run(Map.of(), "-g", "1", "-H", "one,two", "bash", "-c", script);
    assertThat(outcome.status()).isEqualTo(7);
    assertThat(outcome.lines())
        .contains("launch.sh: rank 1 ended with status 7; ending the others");
    List<Long> pids =
        outcome.lines().stream()
            .filter(line -> line.matches("\\[rank 0] \\d+"))
            .map(line -> Long.valueOf(line.substring(9)))
            .toList();
    assertThat(pids).hasSize(2);
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
    while (pids.stream().anyMatch(LaunchOnHostsTest::runs) && System.nanoTime() - deadline < 0) {
      Thread.sleep(20);
    }
    assertThat(pids).noneMatch(LaunchOnHostsTest::runs);
  }

  private static boolean runs(long pid) {
    return ProcessHandle.of(pid).map(ProcessHandle::isAlive).orElse(false);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "-H one:2 -n 3 true    | -n must be at most the 2 places of the hosts: 3",
        "-H one:x true         | the places of one must be a number from 1 to 1024: 'x'",
        "-H -o,two true        | a host must be a name or an address: '-o'",
        "-H one;two true       | a host must be a name or an address: 'one;two'",
        "-H one -x a=b true    | -x must be the name of a variable: 'a=b'",
        "-H one -x NOT_SET_X true | -x names a variable that is not set: NOT_SET_X",
        "-H one                | a command must be given",
      })
  void shouldNameTheRule_whenArgumentsBreakIt(String arguments, String message) throws Exception {
    Outcome outcome = run(Map.of(), arguments.split(" ", -1));
    assertThat(outcome.status()).isEqualTo(2);
    assertThat(outcome.lines()).singleElement().asString().startsWith("launch.sh: " + message);
    assertThat(sshCalls).doesNotExist();
  }
}
