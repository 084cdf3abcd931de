package io.github.deepep4j.internal.memory;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.ProcessGroup;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * One memory window per rank of a group, each of them readable and writable by every rank at a
 * plain address: what lets a rank place rows directly in another rank's memory.
 *
 * <p>Ranks that are all threads of one JVM share plain memory; ranks in several processes of one
 * host map a file each, on a memory file system where there is one. A window is one contiguous
 * range, also beyond 2 GiB, and starts at a multiple of 64; the addresses of one window differ
 * between processes. Ordering and ranges are the users' business: data first, then {@link
 * OffHeap#putLongRelease}; {@link OffHeap#getLongAcquire}, then data.
 *
 * <p>Closing is local and never waits. A window's memory lives until the last rank that can reach
 * it has closed or ended, so a peer's late write hits memory that nobody else has got.
 *
 * <p>Thread-safe; an address must not be used after {@link #close}.
 */
public final class SharedWindow implements AutoCloseable {
  private static final String OPERATION = "opening shared windows";

  /**
   * Where windows go. Rank 0's counts.
   *
   * @param directory for files, absolute
   * @param filesAlways whether threads of one JVM use files, too, as tests of the files do
   */
  record Placement(Path directory, boolean filesAlways) {
    /** Memory if all ranks are in one JVM, else the host's memory file system if it has one. */
    static Placement automatic() {
      Path memoryFileSystem = Path.of("/dev/shm");
      return new Placement(
          Files.isWritable(memoryFileSystem)
              ? memoryFileSystem
              : Path.of(System.getProperty("java.io.tmpdir")).toAbsolutePath(),
          false);
    }
  }

  private final List<WindowMember> members;
  private final List<PeerProcess> processes;
  private final int self;
  private final WindowSource source;
  private volatile boolean closed;

  private SharedWindow(List<WindowMember> members, int self, WindowSource source) {
    this.members = members;
    this.self = self;
    this.source = source;
    this.processes = members.stream().map(peer -> PeerProcess.of(members.get(self), peer)).toList();
  }

  /**
   * Contributes a window of zeros and reaches those of all other ranks. Collective and blocking: a
   * few exchanges over the group, each bounded by its deadline.
   *
   * @param group the ranks; used during this call only
   * @param bytes length of this rank's window, 0 or more; may differ between ranks
   * @return the windows, to be closed by the caller
   * @throws IllegalArgumentException if {@code bytes} is negative; the collective is not entered
   * @throws EpException on every rank: {@code GROUP} if the ranks are not all on one host; {@code
   *     DEVICE} if any rank has no memory or space for its window, or can't map another's, naming
   *     rank and cause; {@code MISMATCH} if a rank is in another operation; and what the group
   *     throws. No memory and no file is left behind
   */
  public static SharedWindow open(ProcessGroup group, long bytes) {
    return open(group, bytes, bytes);
  }

  /**
   * {@link #open(ProcessGroup, long)} with zeros at the window's start only. The rest is undefined,
   * so that memory which is never written is never touched either: windows are sized for the worst
   * case.
   *
   * @param group the ranks; used during this call only
   * @param bytes length of this rank's window, 0 or more; may differ between ranks
   * @param zeroedBytes zeros at its start, at most {@code bytes}
   * @return the windows, to be closed by the caller
   * @throws IllegalArgumentException if {@code bytes} is negative; the collective is not entered
   * @throws EpException as {@link #open(ProcessGroup, long)} does
   */
  public static SharedWindow open(ProcessGroup group, long bytes, long zeroedBytes) {
    return open(group, bytes, zeroedBytes, Placement.automatic());
  }

  /**
   * {@link #open(ProcessGroup, long)} with a choice of the place.
   *
   * @param group the ranks
   * @param bytes length of this rank's window
   * @param placement where to, if this is rank 0
   * @return the windows
   */
  static SharedWindow open(ProcessGroup group, long bytes, Placement placement) {
    return open(group, bytes, bytes, placement);
  }

  /**
   * {@link #open(ProcessGroup, long, long)} with a choice of the place.
   *
   * @param group the ranks
   * @param bytes length of this rank's window
   * @param zeroedBytes zeros at its start
   * @param placement where to, if this is rank 0
   * @return the windows
   */
  private static SharedWindow open(
      ProcessGroup group, long bytes, long zeroedBytes, Placement placement) {
    if (bytes < 0) {
      throw new IllegalArgumentException("bytes must be 0 or more, not " + bytes);
    }
    Agreement agreement = new Agreement(group, OPERATION);
    List<WindowMember> members = exchange(group, agreement, WindowMember.self(bytes, placement));
    WindowMember first = members.get(0);
    boolean oneProcess = members.stream().allMatch(first::sameProcess);
    if (!oneProcess) {
      requireOneHost(agreement, members);
    }
    WindowSource source =
        oneProcess && !first.filesAlways()
            ? LocalWindows.open(agreement, members, zeroedBytes)
            : FileWindows.open(agreement, members);
    return new SharedWindow(members, group.rank(), source);
  }

  private static List<WindowMember> exchange(
      ProcessGroup group, Agreement agreement, WindowMember self) {
    List<WindowMember> members = new ArrayList<>();
    for (byte[] message : group.allGather(self.encode())) {
      try {
        members.add(WindowMember.decode(message));
      } catch (IOException e) {
        throw agreement.failure(
            EpException.Code.MISMATCH,
            "rank " + members.size() + " is in another operation or of another version: " + e,
            e);
      }
    }
    return List.copyOf(members);
  }

  /** Decided from what all ranks have, so all decide alike. */
  private static void requireOneHost(Agreement agreement, List<WindowMember> members) {
    String host = members.get(0).host();
    for (int rank = 0; rank < members.size(); rank++) {
      if (host.isEmpty() || !members.get(rank).host().equals(host)) {
        throw agreement.failure(
            EpException.Code.GROUP,
            "processes share memory on one host only, but rank "
                + rank
                + " has boot id '"
                + members.get(rank).host()
                + "' and rank 0 has '"
                + host
                + "'",
            null);
      }
    }
  }

  /**
   * Where a window starts in this process.
   *
   * @param rank the window's owner
   * @return the address, a multiple of 64
   * @throws IndexOutOfBoundsException if there is no such rank
   * @throws IllegalStateException if these windows were closed by the calling rank
   */
  public long address(int rank) {
    Objects.checkIndex(rank, members.size());
    if (closed) {
      throw new IllegalStateException("the shared windows of rank " + self + " were closed");
    }
    return source.address(rank);
  }

  /**
   * A window's length.
   *
   * @param rank the window's owner
   * @return bytes, 0 or more
   * @throws IndexOutOfBoundsException if there is no such rank
   */
  public long bytes(int rank) {
    return members.get(Objects.checkIndex(rank, members.size())).bytes();
  }

  /**
   * Whether a rank is a thread of this JVM.
   *
   * @param rank the rank
   * @return true also for the calling rank
   * @throws IndexOutOfBoundsException if there is no such rank
   */
  public boolean sameProcess(int rank) {
    Objects.checkIndex(rank, members.size());
    return members.get(self).sameProcess(members.get(rank));
  }

  /**
   * Whether a rank's process has certainly ended. Never true for a rank of this JVM, nor for one
   * whose process could not be watched from the start, as between containers.
   *
   * @param rank the rank
   * @return true only if it writes nothing any more
   * @throws IndexOutOfBoundsException if there is no such rank
   */
  public boolean knownDead(int rank) {
    return processes.get(Objects.checkIndex(rank, members.size())).knownDead();
  }

  /** Lets go of all windows. Local, idempotent, never waits. */
  @Override
  public void close() {
    closed = true;
    source.close();
  }
}
