package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.backend.JoinRecord;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.internal.memory.SharedWindow;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/**
 * Who still has this rank's device window mapped. A window is freed only when every peer has said
 * that it let go, or its process has certainly ended; until then it stays allocated, and whatever
 * rank of this process next makes or closes a buffer looks again. So closing never waits for a peer
 * and the last one to close frees everything.
 *
 * <p>The ranks say so in host memory: one word per peer in each rank's shared window, and after
 * these a {@link JoinRecord} per peer, for unmasks.
 */
final class PeerWindows {
  private static final System.Logger LOG = System.getLogger("io.github.deepep4j");
  private static final List<PeerWindows> CLOSED = new ArrayList<>();

  private final int rank;
  private final int numRanks;
  private final SharedWindow words;
  private final long buffer;
  private final long windowBytes;

  private PeerWindows(ProcessGroup group, SharedWindow words, long buffer, long windowBytes) {
    this.rank = group.rank();
    this.numRanks = group.size();
    this.words = words;
    this.buffer = buffer;
    this.windowBytes = windowBytes;
  }

  /**
   * Opens the words. Collective.
   *
   * @param group the ranks
   * @param buffer native handle of this rank's buffer
   * @param windowBytes that it holds
   */
  static PeerWindows open(ProcessGroup group, long buffer, long windowBytes) {
    freeUnused();
    int size = group.size();
    long bytes = joins(size) + size * JoinRecord.bytes(size);
    SharedWindow words = SharedWindow.open(group, bytes);
    return new PeerWindows(group, words, buffer, windowBytes);
  }

  /** Says that this rank has disconnected, and frees its window now or when its peers have. */
  void close() {
    for (int peer = 0; peer < numRanks; peer++) {
      OffHeap.putLongRelease(words.address(peer) + (long) Long.BYTES * rank, 1);
    }
    synchronized (CLOSED) {
      CLOSED.add(this);
    }
    freeUnused();
  }

  /** Bytes of closed buffers of this process whose peers have not let go. */
  static long abandonedBytes() {
    synchronized (CLOSED) {
      return CLOSED.stream().mapToLong(window -> window.windowBytes).sum();
    }
  }

  private static void freeUnused() {
    synchronized (CLOSED) {
      for (Iterator<PeerWindows> closed = CLOSED.iterator(); closed.hasNext(); ) {
        PeerWindows window = closed.next();
        if (window.isUnused()) {
          closed.remove();
          window.free();
        }
      }
    }
  }

  /** Where the joins begin: after a word per rank, on a line. */
  private static long joins(int numRanks) {
    return (numRanks * (long) Long.BYTES + 63) / 64 * 64;
  }

  /** Where in an owner's memory a writer says what it does in an unmask. */
  long join(int owner, int writer) {
    return words.address(owner) + joins(numRanks) + writer * JoinRecord.bytes(numRanks);
  }

  /** Whether a peer has disconnected or its process has ended: it writes nowhere any more. */
  boolean isGone(int peer) {
    long word = words.address(rank) + (long) Long.BYTES * peer;
    return OffHeap.getLongAcquire(word) != 0 || words.knownDead(peer);
  }

  private boolean isUnused() {
    for (int peer = 0; peer < numRanks; peer++) {
      if (!isGone(peer)) {
        return false;
      }
    }
    return true;
  }

  private void free() {
    words.close();
    if (Ep4jNative.bufferDestroy(buffer, 0) != Abi.OK) {
      LOG.log(
          System.Logger.Level.WARNING,
          "rank {0}: the device window of {1} bytes was not freed: {2}",
          rank,
          windowBytes,
          Ep4jNative.lastError());
    }
  }
}
