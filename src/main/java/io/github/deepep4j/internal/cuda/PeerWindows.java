package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/**
 * Who still has this rank's device window mapped. A window is freed only when every peer has said
 * that it let go, or its process has certainly ended; until then it stays allocated, and whatever
 * rank of this process next makes or closes a buffer looks again. So closing never waits for a peer
 * and the last one to close frees everything.
 */
final class PeerWindows implements Peers {
  private static final System.Logger LOG = System.getLogger("io.github.deepep4j");
  private static final List<PeerWindows> CLOSED = new ArrayList<>();

  private final int rank;
  private final int numRanks;
  private final PeerWords words;
  private final long buffer;
  private final long windowBytes;

  private PeerWindows(ProcessGroup group, PeerWords words, long buffer, long windowBytes) {
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
    PeerWords words = PeerWords.open(group);
    return new PeerWindows(group, words, buffer, windowBytes);
  }

  /** Frees now, or when the peers have let go. Never waits. */
  @Override
  public void close() {
    words.letGo();
    synchronized (CLOSED) {
      CLOSED.add(this);
    }
    freeUnused();
  }

  @Override
  public long abandonedBytes() {
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

  @Override
  public long join(int owner, int writer) {
    return words.join(owner, writer);
  }

  @Override
  public boolean isGone(int peer) {
    return words.hasLetGo(peer) || words.knownDead(peer);
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
