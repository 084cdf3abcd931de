package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import org.jspecify.annotations.Nullable;

/**
 * Ranks whose windows lie in NVSHMEM's symmetric heap. Freeing there waits inside NVSHMEM for all
 * ranks, so it must not begin unless all will come: on one host they {@link ClosingVote vote}.
 * Across hosts they share no word; then a rank that has masked nobody begins, and the native
 * library gives it up at its deadline.
 */
final class NvshmemPeers implements Peers {
  private static final System.Logger LOG = System.getLogger("io.github.deepep4j");

  private final int self;
  private final int numRanks;
  private final long buffer;
  private final BufferOptions options;
  private final @Nullable PeerWords words;

  private NvshmemPeers(
      ProcessGroup group, long buffer, BufferOptions options, @Nullable PeerWords words) {
    this.self = group.rank();
    this.numRanks = group.size();
    this.buffer = buffer;
    this.options = options;
    this.words = words;
  }

  /**
   * Opens what the hosts share. Collective.
   *
   * @param group the ranks
   * @param buffer native handle of this rank's buffer
   * @param options of the buffer
   * @param isOneHost whether the ranks are on one
   */
  static NvshmemPeers open(
      ProcessGroup group, long buffer, BufferOptions options, boolean isOneHost) {
    return new NvshmemPeers(group, buffer, options, isOneHost ? PeerWords.open(group) : null);
  }

  @Override
  public long join(int owner, int writer) {
    if (words == null) {
      throw new IllegalStateException(
          "unmask needs ranks that share host memory; over NVSHMEM these are on several hosts");
    }
    return words.join(owner, writer);
  }

  @Override
  public boolean isGone(int peer) {
    return words != null && (words.hasLetGo(peer) || words.knownDead(peer));
  }

  @Override
  public long abandonedBytes() {
    return Math.max(0, NvshmemWorld.abandonedBytes());
  }

  @Override
  public void close() {
    boolean areAllHere =
        words == null ? hasMaskedNobody() : new ClosingVote(words, numRanks).allCame(options);
    if (Ep4jNative.bufferDestroy(buffer, areAllHere ? 0 : 1) != Abi.OK) {
      LOG.log(
          System.Logger.Level.WARNING,
          "rank {0}: freeing the window: {1}",
          self,
          Ep4jNative.lastError());
    }
    if (!areAllHere || !NvshmemWorld.closed()) {
      LOG.log(
          System.Logger.Level.WARNING,
          "rank {0}: not all ranks came to close their buffers: NVSHMEM''s heap is left allocated,"
              + " {1} bytes of windows in it, and this process can make no buffer over NVSHMEM any"
              + " more: all ranks have to be started again",
          self,
          abandonedBytes());
    }
    if (words != null) {
      words.close();
    }
  }

  private boolean hasMaskedNobody() {
    try (Memory word = OffHeap.allocate(Long.BYTES)) {
      return Ep4jNative.masked(buffer, word.address()) == Abi.OK
          && OffHeap.getInt(word.address()) == 0;
    }
  }
}
