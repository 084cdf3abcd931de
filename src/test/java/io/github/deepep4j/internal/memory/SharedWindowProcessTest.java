package io.github.deepep4j.internal.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.ProcessGroup;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Windows of two JVMs: this one is rank 0, {@link WindowPeer} rank 1. */
final class SharedWindowProcessTest {
  private static final long LARGE_BYTES = (1L << 31) + (100 << 20);

  @TempDir Path temporary;
  Path exchange = Path.of("");
  Path windowDirectory = Path.of("");
  long liveBytes;

  @BeforeEach
  void prepare() throws IOException {
    exchange = Files.createDirectories(temporary.resolve("group"));
    windowDirectory = Files.createTempDirectory(roomiestPlace(), "deepep4j-test");
    liveBytes = OffHeap.liveBytes();
  }

  /** In memory where that has room for the large window, because a disk takes many seconds. */
  private Path roomiestPlace() throws IOException {
    Path memory = Path.of("/dev/shm");
    boolean room =
        Files.isWritable(memory) && Files.getFileStore(memory).getUsableSpace() > 2 * LARGE_BYTES;
    return room ? memory : temporary;
  }

  @AfterEach
  void shouldLeaveNothingBehind() throws IOException {
    try (Stream<Path> files = Files.list(windowDirectory);
        Stream<String> mappings = Files.lines(Path.of("/proc/self/maps"))) {
      assertThat(files.toList()).isEmpty();
      assertThat(mappings.filter(line -> line.contains(windowDirectory.toString())).toList())
          .isEmpty();
    }
    Files.delete(windowDirectory);
    assertThat(OffHeap.liveBytes()).isEqualTo(liveBytes);
  }

  @Test
  void shouldExchangeRowsBothWays_whenRanksAreProcesses() throws Exception {
    long bytes = WindowPeer.DATA + 8L * WindowPeer.ROW_LONGS;
    Process peer = start("rows", bytes);
    ProcessGroup group = new DirectoryGroup(exchange, 0, 2);
    try (SharedWindow windows = SharedWindow.open(group, bytes, placement())) {
      assertThat(windows.sameProcess(0)).isTrue();
      assertThat(windows.sameProcess(1)).isFalse();
      WindowPeer.exchangeRows(group, windows);
    }
    assertSuccess(peer);
  }

  @Test
  void shouldMapOneRange_whenAWindowIsLargerThan2GiB() throws Exception {
    Process peer = start("ends", 1 << 20);
    ProcessGroup group = new DirectoryGroup(exchange, 0, 2);
    try (SharedWindow windows = SharedWindow.open(group, LARGE_BYTES, placement())) {
      assertThat(windows.bytes(0)).isEqualTo(LARGE_BYTES);
      assertThat(windows.bytes(1)).isEqualTo(1 << 20);
      WindowPeer.touchEnds(group, windows);
    }
    assertSuccess(peer);
  }

  @Test
  void shouldKnowThatAPeerIsDead_whenItsProcessIsKilled() throws Exception {
    Process peer = start("linger", 4096);
    ProcessGroup group = new DirectoryGroup(exchange, 0, 2);
    try (SharedWindow windows = SharedWindow.open(group, 4096, placement())) {
      group.barrier();
      assertThat(windows.knownDead(1)).isFalse();
      peer.destroyForcibly().waitFor();
      assertThat(windows.knownDead(1)).isTrue();
      assertThat(windows.knownDead(0)).isFalse();
      // Its window outlives it.
      OffHeap.putLong(windows.address(1), 5);
      assertThat(OffHeap.getLong(windows.address(1))).isEqualTo(5);
    }
  }

  @Test
  void shouldKnowThatAPeerIsDead_whenNobodyReapsIt() throws Exception {
    // The shell's child is rank 1; the shell itself never waits for it, so it stays a zombie.
    Process shell = startUnreaped("linger", 4096);
    ProcessGroup group = new DirectoryGroup(exchange, 0, 2);
    try (SharedWindow windows = SharedWindow.open(group, 4096, placement())) {
      group.barrier();
      assertThat(windows.knownDead(1)).isFalse();
      shell.children().forEach(ProcessHandle::destroyForcibly);
      long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
      while (!windows.knownDead(1) && System.nanoTime() < deadline) {
        Thread.sleep(10);
      }
      assertThat(windows.knownDead(1)).isTrue();
      assertThat(shell.isAlive()).isTrue();
    } finally {
      shell.destroyForcibly().waitFor();
    }
  }

  @Test
  void shouldFailOnBothRanks_whenOneCannotWriteItsFile() throws Exception {
    // The limit on file sizes, 1 MiB, stands in for a file system that fills up under our hands.
    // Rank 1's stack trace is expected, and not shown.
    Process peer =
        new ProcessBuilder(WindowPeer.command("ulimit -f 2048", arguments("rows", 8 << 20)))
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    assertThatThrownBy(
            () -> SharedWindow.open(new DirectoryGroup(exchange, 0, 2), 4096, placement()))
        .isInstanceOf(EpException.class)
        .hasMessageContaining("reserving a window's space failed on rank 1")
        .hasMessageContaining("a window of " + (8 << 20) + " bytes in " + windowDirectory)
        .hasMessageContaining("are free");
    assertThat(peer.waitFor(60, TimeUnit.SECONDS)).isTrue();
    assertThat(peer.exitValue()).isEqualTo(1);
  }

  private Process start(String scenario, long bytes) throws IOException {
    return new ProcessBuilder(WindowPeer.command("", arguments(scenario, bytes)))
        .inheritIO()
        .start();
  }

  private Process startUnreaped(String scenario, long bytes) throws IOException {
    // sleep replaces the shell, and with it the only process that would ask for the exit status.
    String script = "\"$@\" & exec sleep 100";
    ProcessBuilder builder = new ProcessBuilder("sh", "-c", script, "sh");
    builder.command().addAll(WindowPeer.command("", arguments(scenario, bytes)));
    return builder.inheritIO().start();
  }

  private String[] arguments(String scenario, long bytes) {
    return new String[] {
      scenario, exchange.toString(), windowDirectory.toString(), Long.toString(bytes)
    };
  }

  private SharedWindow.Placement placement() {
    return new SharedWindow.Placement(windowDirectory, false);
  }

  private static void assertSuccess(Process peer) throws InterruptedException {
    assertThat(peer.waitFor(60, TimeUnit.SECONDS)).isTrue();
    assertThat(peer.exitValue()).isZero();
  }
}
