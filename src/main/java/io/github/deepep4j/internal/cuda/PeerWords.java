package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.backend.JoinRecord;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.internal.memory.SharedWindow;

/**
 * What ranks of one host tell each other in host memory: in each rank's shared window a word per
 * peer, set when that peer lets go; one word, rank 0's, for what they decide together; and a {@link
 * JoinRecord} per peer, for unmasks.
 */
final class PeerWords {
  private static final long LINE = 64;

  private final int rank;
  private final int numRanks;
  private final SharedWindow words;

  private PeerWords(ProcessGroup group, SharedWindow words) {
    this.rank = group.rank();
    this.numRanks = group.size();
    this.words = words;
  }

  /** Opens the words. Collective. */
  static PeerWords open(ProcessGroup group) {
    int size = group.size();
    return new PeerWords(
        group, SharedWindow.open(group, joins(size) + size * JoinRecord.bytes(size)));
  }

  /** Where the decision is: after a word per rank, on a line. */
  private static long decision(int numRanks) {
    return (numRanks * (long) Long.BYTES + LINE - 1) / LINE * LINE;
  }

  /** Where the joins begin. */
  private static long joins(int numRanks) {
    return decision(numRanks) + LINE;
  }

  /** Where in an owner's memory a writer says what it does in an unmask. */
  long join(int owner, int writer) {
    return words.address(owner) + joins(numRanks) + writer * JoinRecord.bytes(numRanks);
  }

  /** Says to all that this rank lets go. */
  void letGo() {
    for (int peer = 0; peer < numRanks; peer++) {
      OffHeap.putLongRelease(words.address(peer) + (long) Long.BYTES * rank, 1);
    }
  }

  /** Whether a peer has let go. */
  boolean hasLetGo(int peer) {
    return OffHeap.getLongAcquire(words.address(rank) + (long) Long.BYTES * peer) != 0;
  }

  /** Whether a peer's process has certainly ended. */
  boolean knownDead(int peer) {
    return words.knownDead(peer);
  }

  /** What was decided; 0 while nothing is. */
  long decision() {
    return OffHeap.getLongAcquire(words.address(0) + decision(numRanks));
  }

  /** Decides, unless somebody has; gives what holds for all. */
  long decide(long value) {
    OffHeap.compareAndSetLong(words.address(0) + decision(numRanks), 0, value);
    return decision();
  }

  void close() {
    words.close();
  }
}
