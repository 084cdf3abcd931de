package io.github.deepep4j.internal.memory;

import io.github.deepep4j.group.ProcessGroup;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/**
 * Rank 1 of a test as a process of its own, and what both ranks do. Each window starts with the
 * words {@code arrived} and {@code answered}, a cache line each; data follows.
 */
final class WindowPeer {
  static final long ARRIVED = 0;
  static final long ANSWERED = 64;
  static final long DATA = 128;
  static final int ROUNDS = 200;
  static final int ROW_LONGS = 1_792;

  private WindowPeer() {}

  /**
   * Opens the windows and plays the scenario.
   *
   * @param args scenario, exchange directory, window directory, bytes of this rank's window
   * @throws Exception fails the process
   */
  public static void main(String[] args) throws Exception {
    ProcessGroup group = new DirectoryGroup(Path.of(args[1]), 1, 2);
    SharedWindow.Placement placement = new SharedWindow.Placement(Path.of(args[2]), false);
    try (SharedWindow windows = SharedWindow.open(group, Long.parseLong(args[3]), placement)) {
      switch (args[0]) {
        case "rows" -> exchangeRows(group, windows);
        case "ends" -> touchEnds(group, windows);
        case "linger" -> {
          group.barrier();
          Thread.sleep(120_000);
        }
        default -> throw new IllegalArgumentException(args[0]);
      }
    }
  }

  /**
   * The command line of rank 1.
   *
   * @param shellPrefix run before the JVM in its shell, may be empty
   * @param args as for {@link #main}
   * @return a modifiable list
   */
  static List<String> command(String shellPrefix, String... args) {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx64m",
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                WindowPeer.class.getName()));
    command.addAll(List.of(args));
    if (!shellPrefix.isEmpty()) {
      command.addAll(0, List.of("sh", "-c", shellPrefix + " && exec \"$@\"", "sh"));
    }
    return command;
  }

  /**
   * Sends rows to the peer and checks those that it sends, both ways at once: plain stores, then a
   * release of the round in the reader's window; the reader answers in the writer's.
   *
   * @param group both ranks
   * @param windows theirs
   */
  static void exchangeRows(ProcessGroup group, SharedWindow windows) {
    int self = group.rank();
    long mine = windows.address(self);
    long theirs = windows.address(1 - self);
    long[] row = new long[ROW_LONGS];
    for (int round = 1; round <= ROUNDS; round++) {
      for (int i = 0; i < ROW_LONGS; i++) {
        row[i] = pattern(self, round, i);
      }
      OffHeap.copyFromArray(row, 0, theirs + DATA, ROW_LONGS);
      OffHeap.putLongRelease(theirs + ARRIVED, round);
      await(mine + ARRIVED, round);
      OffHeap.copyToArray(mine + DATA, row, 0, ROW_LONGS);
      for (int i = 0; i < ROW_LONGS; i++) {
        if (row[i] != pattern(1 - self, round, i)) {
          throw new AssertionError(
              "rank " + self + ", round " + round + ", word " + i + ": " + row[i]);
        }
      }
      OffHeap.putLongRelease(theirs + ANSWERED, round);
      await(mine + ANSWERED, round);
    }
    group.barrier();
  }

  /**
   * Writes the two ends of the peer's window, the words around 2 GiB, and checks the own ones.
   *
   * @param group both ranks
   * @param windows theirs
   */
  static void touchEnds(ProcessGroup group, SharedWindow windows) {
    for (long offset : spots(windows.bytes(1 - group.rank()))) {
      OffHeap.putLong(windows.address(1 - group.rank()) + offset, offset ^ 0x5555L);
    }
    group.barrier();
    long wrong = 0;
    for (long offset : spots(windows.bytes(group.rank()))) {
      wrong +=
          OffHeap.getLong(windows.address(group.rank()) + offset) == (offset ^ 0x5555L) ? 0 : 1;
    }
    if (wrong > 0) {
      throw new AssertionError("rank " + group.rank() + " has " + wrong + " wrong words");
    }
    group.barrier();
  }

  private static List<Long> spots(long bytes) {
    List<Long> spots = new ArrayList<>(List.of(0L, bytes - 8));
    for (long near : new long[] {1L << 31, (1L << 31) - WindowFile.HEADER_BYTES}) {
      for (long offset = near - 16; offset <= near + 8; offset += 8) {
        if (offset + 8 <= bytes) {
          spots.add(offset);
        }
      }
    }
    return spots;
  }

  private static long pattern(int writer, int round, int index) {
    return (writer + 1L) << 48 | (long) round << 24 | index;
  }

  private static void await(long word, long value) {
    long deadline = System.nanoTime() + 60_000_000_000L;
    for (int spins = 0; OffHeap.getLongAcquire(word) < value; spins++) {
      if (spins > 100) {
        LockSupport.parkNanos(20_000);
      }
      if (System.nanoTime() > deadline) {
        throw new AssertionError("waited 60 s for " + value);
      }
    }
  }
}
