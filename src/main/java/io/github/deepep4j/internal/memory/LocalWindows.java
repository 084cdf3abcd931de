package io.github.deepep4j.internal.memory;

import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * Windows of ranks that are threads of one JVM: plain memory, passed by address.
 *
 * <p>A window belongs to all ranks that hold it, not to the one that made it, because a peer may
 * still write when its maker closes: it is freed by whoever lets go last, so no close has to wait.
 */
final class LocalWindows implements WindowSource {
  /** Names a window within the JVM. */
  private record Key(UUID nonce, int rank) {}

  private record Held(Memory memory, int holders) {}

  private static final ConcurrentHashMap<Key, Held> WINDOWS = new ConcurrentHashMap<>();

  private final UUID nonce;
  private final long[] addresses;
  private final List<Key> holds = new ArrayList<>();

  private LocalWindows(UUID nonce, int numRanks) {
    this.nonce = nonce;
    this.addresses = new long[numRanks];
  }

  /**
   * Makes the calling rank's window and takes hold of all others. Collective.
   *
   * @param agreement the ranks
   * @param members what they said, by rank
   * @param zeroedBytes zeros at the start of the calling rank's window
   * @return the windows
   */
  static LocalWindows open(Agreement agreement, List<WindowMember> members, long zeroedBytes) {
    LocalWindows windows = new LocalWindows(members.get(0).nonce(), members.size());
    int self = agreement.rank();
    try {
      agreement.step(
          "allocating a window",
          () -> windows.contribute(self, members.get(self).bytes(), zeroedBytes));
      agreement.step("taking hold of a window", () -> windows.holdOthers(self));
      return windows;
    } catch (RuntimeException | Error e) {
      windows.close();
      throw e;
    }
  }

  private synchronized void contribute(int rank, long bytes, long zeroedBytes) {
    Memory memory = OffHeap.allocate(bytes);
    OffHeap.fill(memory.address(), zeroedBytes, (byte) 0);
    addresses[rank] = memory.address();
    Key key = new Key(nonce, rank);
    WINDOWS.put(key, new Held(memory, 1));
    holds.add(key);
  }

  private synchronized void holdOthers(int self) {
    for (int rank = 0; rank < addresses.length; rank++) {
      if (rank == self) {
        continue;
      }
      Key key = new Key(nonce, rank);
      Held held =
          WINDOWS.computeIfPresent(
              key, (k, before) -> new Held(before.memory(), before.holders() + 1));
      if (held == null) {
        throw new IllegalStateException("rank " + rank + " has already left");
      }
      holds.add(key);
      addresses[rank] = held.memory().address();
    }
  }

  @Override
  public long address(int rank) {
    return addresses[rank];
  }

  @Override
  public synchronized void close() {
    for (Key key : holds) {
      WINDOWS.computeIfPresent(key, (k, before) -> letGo(before));
    }
    holds.clear();
  }

  private static @Nullable Held letGo(Held before) {
    if (before.holders() > 1) {
      return new Held(before.memory(), before.holders() - 1);
    }
    before.memory().close();
    return null;
  }
}
