package io.github.deepep4j.internal.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.ProcessGroup;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.UUID;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Windows of threads: by memory, and by the files that processes use. */
final class SharedWindowTest {
  @TempDir Path temporary;
  Path exchange = Path.of("");
  Path windowDirectory = Path.of("");
  long liveBytes;
  long liveAllocations;

  @BeforeEach
  void prepare() throws IOException {
    exchange = temporary.resolve("group");
    windowDirectory = Files.createDirectories(temporary.resolve("windows"));
    liveBytes = OffHeap.liveBytes();
    liveAllocations = OffHeap.liveAllocations();
  }

  /** Whatever a test did, no memory, no mapping and no file outlives it. */
  @AfterEach
  void shouldLeaveNothingBehind() throws IOException {
    assertThat(OffHeap.liveBytes()).isEqualTo(liveBytes);
    assertThat(OffHeap.liveAllocations()).isEqualTo(liveAllocations);
    assertThat(windowFiles()).isEmpty();
    assertThat(mappedWindows()).isEmpty();
  }

  @ParameterizedTest(name = "{0} ranks, files: {1}")
  @CsvSource({"1,false", "2,false", "3,false", "4,false", "1,true", "2,true", "3,true", "4,true"})
  void shouldReachEveryWindow_whenRanksWriteIntoEachOthers(int size, boolean files)
      throws Exception {
    Ranks.run(
        exchange,
        size,
        group -> {
          int self = group.rank();
          // Sizes differ; the last rank of several has nothing.
          long own = self == size - 1 && size > 1 ? 0 : 8L * size * (self + 1);
          try (SharedWindow windows = SharedWindow.open(group, own, placement(files))) {
            for (int rank = 0; rank < size; rank++) {
              assertThat(windows.address(rank) % 64).isZero();
              assertThat(windows.sameProcess(rank)).isTrue();
              assertThat(windows.knownDead(rank)).isFalse();
              byte[] content = new byte[(int) windows.bytes(rank)];
              OffHeap.copyToArray(windows.address(rank), content, 0, content.length);
              assertThat(content).containsOnly(new byte[content.length == 0 ? 0 : 1]);
            }
            assertThat(windows.bytes(self)).isEqualTo(own);
            group.barrier();
            // Word w of every window belongs to writer w % size.
            for (int rank = 0; rank < size; rank++) {
              for (long w = self; w < windows.bytes(rank) / 8; w += size) {
                OffHeap.putLong(windows.address(rank) + 8 * w, 1_000_000L * rank + w);
              }
            }
            group.barrier();
            for (int rank = 0; rank < size; rank++) {
              for (long w = 0; w < windows.bytes(rank) / 8; w++) {
                assertThat(OffHeap.getLong(windows.address(rank) + 8 * w))
                    .isEqualTo(1_000_000L * rank + w);
              }
            }
            group.barrier();
          }
        });
  }

  @ParameterizedTest(name = "files: {0}")
  @ValueSource(booleans = {false, true})
  void shouldKeepAWindow_whenOnlyItsOwnerHasClosed(boolean files) throws Exception {
    Ranks.run(
        exchange,
        2,
        group -> {
          SharedWindow windows = SharedWindow.open(group, 4096, placement(files));
          if (group.rank() == 0) {
            OffHeap.putLong(windows.address(0), 42);
            windows.close();
            windows.close();
            group.barrier();
          } else {
            group.barrier();
            assertThat(OffHeap.liveBytes()).isGreaterThan(liveBytes);
            assertThat(OffHeap.getLong(windows.address(0))).isEqualTo(42);
            OffHeap.fill(windows.address(0), 4096, (byte) 1);
            windows.close();
          }
        });
  }

  @ParameterizedTest(name = "files: {0}")
  @ValueSource(booleans = {false, true})
  void shouldRefuseAnAddress_whenClosedOrNoSuchRank(boolean files) throws Exception {
    Ranks.run(
        exchange,
        1,
        group -> {
          SharedWindow windows = SharedWindow.open(group, 10, placement(files));
          assertThatThrownBy(() -> windows.address(1))
              .isInstanceOf(IndexOutOfBoundsException.class);
          assertThatThrownBy(() -> windows.bytes(-1)).isInstanceOf(IndexOutOfBoundsException.class);
          windows.close();
          assertThatThrownBy(() -> windows.address(0))
              .isInstanceOf(IllegalStateException.class)
              .hasMessageContaining("rank 0");
          assertThat(windows.bytes(0)).isEqualTo(10);
        });
  }

  @Test
  void shouldNotEnterTheCollective_whenTheSizeIsNegative() throws Exception {
    Ranks.run(
        exchange,
        2,
        group -> {
          if (group.rank() == 1) {
            assertThatThrownBy(() -> SharedWindow.open(group, -5))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("-5");
          }
          SharedWindow.open(group, 5).close();
        });
  }

  @ParameterizedTest(name = "files: {0}")
  @ValueSource(booleans = {false, true})
  void shouldFailOnEveryRank_whenOneAsksForTooMuch(boolean files) throws Exception {
    long tooMuch = 1L << 60;
    List<@Nullable Throwable> outcomes =
        Ranks.outcomes(
            exchange,
            3,
            group ->
                SharedWindow.open(group, group.rank() == 1 ? tooMuch : 64, placement(files))
                    .close());
    assertThat(outcomes)
        .allSatisfy(
            outcome -> {
              assertThat(outcome).isInstanceOf(EpException.class).hasMessageContaining("rank 1");
              assertThat(((EpException) outcome).code()).isEqualTo(EpException.Code.DEVICE);
              assertThat(outcome.getMessage())
                  .contains(files ? "need " + (tooMuch + 128 + 3 * 4096) : "allocate " + tooMuch);
            });
  }

  @Test
  void shouldNameSpaceNeededAndFree_whenSizesOverflow() throws Exception {
    List<@Nullable Throwable> outcomes =
        Ranks.outcomes(
            exchange, 2, group -> SharedWindow.open(group, Long.MAX_VALUE, placement(true)));
    assertThat(outcomes)
        .allSatisfy(
            outcome ->
                assertThat(outcome)
                    .hasMessageContaining("need " + Long.MAX_VALUE + " bytes in " + windowDirectory)
                    .hasMessageContaining("are free"));
  }

  @Test
  void shouldBeReadableByTheUserOnlyAndUnnamed_whenFilesAreUsed() throws Exception {
    List<String> modes = Collections.synchronizedList(new ArrayList<>());
    List<String> names = Collections.synchronizedList(new ArrayList<>());
    Ranks.run(
        exchange,
        2,
        group -> {
          ProcessGroup watched =
              new GroupHook(
                  group,
                  (step, message) -> {
                    if (step == 1) {
                      for (Path file : windowFiles()) {
                        names.add(String.valueOf(file.getFileName()));
                        modes.add(
                            PosixFilePermissions.toString(Files.getPosixFilePermissions(file)));
                      }
                    }
                    return message;
                  });
          try (SharedWindow windows = SharedWindow.open(watched, 64, placement(true))) {
            assertThat(windowFiles()).isEmpty();
            assertThat(windows.bytes(0)).isEqualTo(64);
          }
        });
    assertThat(modes).isNotEmpty().containsOnly("rw-------");
    assertThat(names).allMatch(name -> name.matches("deepep4j-[0-9a-f-]{36}-[01]"));
  }

  @ParameterizedTest(name = "exchange {0}, files: {1}")
  @CsvSource({"0,true", "1,true", "2,true", "3,true", "4,true", "0,false", "1,false", "2,false"})
  void shouldLeaveNoFileAndNoMemory_whenTheGroupBreaks(int exchangeIndex, boolean files)
      throws Exception {
    List<@Nullable Throwable> outcomes =
        Ranks.outcomes(
            exchange,
            3,
            group -> {
              ProcessGroup breaking =
                  new GroupHook(
                      group,
                      (step, message) -> {
                        if (step == exchangeIndex && group.rank() == 1) {
                          throw new IOException("cable cut");
                        }
                        return message;
                      });
              SharedWindow.open(breaking, 100_000, placement(files)).close();
            });
    assertThat(outcomes)
        .allSatisfy(
            outcome ->
                assertThat(outcome)
                    .isInstanceOf(RuntimeException.class)
                    .hasMessageContaining("cable cut"));
  }

  /** What somebody may have done to a window file before the peers open it. */
  enum Tampering {
    MODE,
    HEADER,
    TRUNCATED,
    LINK,
    MISSING;

    void apply(Path file) throws IOException {
      switch (this) {
        case MODE ->
            Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r--r--"));
        case HEADER -> {
          try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.write(ByteBuffer.wrap(new byte[] {1}), 9);
          }
        }
        case TRUNCATED -> {
          try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            channel.truncate(100);
          }
        }
        case LINK -> {
          Path target = Files.move(file, file.resolveSibling("target"));
          Files.createSymbolicLink(file, target);
        }
        case MISSING -> Files.delete(file);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Tampering.class)
  void shouldFailOnEveryRank_whenAPeersFileIsNotWhatItMade(Tampering tampering) throws Exception {
    List<@Nullable Throwable> outcomes =
        Ranks.outcomes(
            exchange,
            2,
            group -> {
              ProcessGroup tampered =
                  new GroupHook(
                      group,
                      (step, message) -> {
                        if (step == 1 && group.rank() == 1) {
                          for (Path file : windowFiles()) {
                            if (file.toString().endsWith("-1")) {
                              tampering.apply(file);
                            }
                          }
                        }
                        return message;
                      });
              SharedWindow.open(tampered, 64, placement(true)).close();
            });
    Files.deleteIfExists(windowDirectory.resolve("target"));
    assertThat(outcomes)
        .allSatisfy(
            outcome ->
                assertThat(outcome)
                    .isInstanceOf(EpException.class)
                    .hasMessageContaining("opening a window file failed on rank 0"));
  }

  @Test
  void shouldUseFiles_whenSomeRanksAreInAnotherProcess() throws Exception {
    Ranks.run(
        exchange,
        3,
        group -> {
          // Ranks 0 and 2 are in one JVM, rank 1 says that it isn't.
          ProcessGroup mixed = group.rank() == 1 ? claiming(group, null) : group;
          try (SharedWindow windows = SharedWindow.open(mixed, 64, placement(false))) {
            assertThat(mappedWindows()).isNotEmpty();
            assertThat(windows.sameProcess((group.rank() + 1) % 3)).isEqualTo(group.rank() == 2);
            OffHeap.putLong(windows.address((group.rank() + 1) % 3), group.rank() + 7);
            group.barrier();
            assertThat(OffHeap.getLong(windows.address(group.rank())))
                .isEqualTo((group.rank() + 2) % 3 + 7);
            group.barrier();
          }
        });
  }

  @Test
  void shouldFailOnEveryRank_whenHostsDiffer() throws Exception {
    List<@Nullable Throwable> outcomes =
        Ranks.outcomes(
            exchange,
            3,
            group -> {
              ProcessGroup far = group.rank() == 1 ? claiming(group, "another-host") : group;
              SharedWindow.open(far, 64, placement(false)).close();
            });
    assertThat(outcomes)
        .allSatisfy(
            outcome -> {
              assertThat(outcome)
                  .isInstanceOf(EpException.class)
                  .hasMessageContaining("rank 1 has boot id 'another-host'");
              assertThat(((EpException) outcome).code()).isEqualTo(EpException.Code.GROUP);
            });
  }

  @Test
  void shouldFailOnEveryRank_whenOneIsInAnotherOperation() throws Exception {
    List<@Nullable Throwable> outcomes =
        Ranks.outcomes(
            exchange,
            2,
            group -> {
              ProcessGroup other =
                  new GroupHook(
                      group,
                      (step, message) -> group.rank() == 1 ? Arrays.copyOf(message, 3) : message);
              SharedWindow.open(other, 64, placement(false)).close();
            });
    assertThat(outcomes)
        .allSatisfy(
            outcome -> {
              assertThat(outcome).isInstanceOf(EpException.class).hasMessageContaining("rank 1");
              assertThat(((EpException) outcome).code()).isEqualTo(EpException.Code.MISMATCH);
            });
  }

  /**
   * A group whose rank says in the first exchange that it is in another JVM, or on another host.
   */
  private static ProcessGroup claiming(ProcessGroup group, @Nullable String host) {
    return new GroupHook(
        group,
        (step, message) -> {
          if (step > 0) {
            return message;
          }
          WindowMember truth = WindowMember.decode(message);
          return new WindowMember(
                  new UUID(0, group.rank()),
                  host == null ? truth.host() : host,
                  truth.pidNamespace(),
                  truth.pid(),
                  truth.startMillis(),
                  truth.bytes(),
                  truth.nonce(),
                  truth.directory(),
                  truth.filesAlways())
              .encode();
        });
  }

  private SharedWindow.Placement placement(boolean files) {
    return new SharedWindow.Placement(windowDirectory, files);
  }

  private List<Path> windowFiles() throws IOException {
    try (Stream<Path> files = Files.list(windowDirectory)) {
      return files.toList();
    }
  }

  private List<String> mappedWindows() throws IOException {
    try (Stream<String> lines = Files.lines(Path.of("/proc/self/maps"))) {
      return lines.filter(line -> line.contains(windowDirectory.toString())).toList();
    }
  }
}
