package io.github.deepep4j.examples.training;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The demo with {@code --processes}, as a launcher starts it: two JVMs. */
final class DemoProcessesTest {
  @TempDir Path directory;
  private final List<Process> ranks = new ArrayList<>();

  @AfterEach
  void end() {
    ranks.forEach(Process::destroyForcibly);
  }

  /** Starts both ranks of a tiny training; waits for them; returns rank 0's output. */
  private String run(int ranksOption) throws IOException, InterruptedException {
    Path text = Files.writeString(directory.resolve("text"), TestText.of(5000));
    int port = freePort();
    for (int rank = 0; rank < 2; rank++) {
      List<String> command = new ArrayList<>();
      command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
      command.addAll(List.of("-cp", System.getProperty("java.class.path")));
      command.addAll(List.of(Demo.class.getName(), "--processes", "--text", text.toString()));
      command.addAll(List.of("--report", directory.resolve("report").toString()));
      command.addAll(List.of("--ranks", String.valueOf(ranksOption), "--experts", "4"));
      command.addAll(List.of("--steps", "3", "--tokens", "16", "--sample", "5"));
      ProcessBuilder builder = new ProcessBuilder(command);
      builder
          .environment()
          .putAll(
              Map.of(
                  "RANK", String.valueOf(rank),
                  "WORLD_SIZE", "2",
                  "MASTER_ADDR", "127.0.0.1",
                  "MASTER_PORT", String.valueOf(port),
                  "DEEPEP4J_SECRET", "only for this test"));
      builder.redirectErrorStream(true).redirectOutput(output(rank).toFile());
      ranks.add(builder.start());
    }
    for (Process rank : ranks) {
      assertThat(rank.waitFor(120, TimeUnit.SECONDS)).as("a rank ends").isTrue();
    }
    return Files.readString(output(0));
  }

  private Path output(int rank) {
    return directory.resolve("rank" + rank);
  }

  private static int freePort() throws IOException {
    try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      return socket.getLocalPort();
    }
  }

  @Test
  void shouldAgreeWithOneRank_whenRanksAreProcesses() throws IOException, InterruptedException {
    String output = run(2);
    assertThat(output).contains("EP=1 and EP=2 agree bit for bit");
    assertThat(Files.readString(output(1))).doesNotContain("EP=");
    assertThat(ranks).allSatisfy(rank -> assertThat(rank.exitValue()).isZero());
    assertThat(directory.resolve("report").resolve("index.html")).exists();
  }

  @Test
  void shouldEndWith2_whenTheLauncherHasOtherRanks() throws IOException, InterruptedException {
    assertThat(run(4)).contains("demo: --ranks 4 and the launcher's 2 must be equal");
    assertThat(ranks).allSatisfy(rank -> assertThat(rank.exitValue()).isEqualTo(2));
  }
}
