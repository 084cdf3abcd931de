package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.HostWords;
import io.github.deepep4j.internal.memory.OffHeap;
import java.util.Set;
import java.util.TreeSet;

/**
 * Which region a dispatch receives in. One that a masked peer may still write to is passed over:
 * the peer was let in and its word has not come. Its quarantine ends with the word, or when the
 * peer is known to be gone. A device that finds out later than the host has chosen waits itself.
 */
final class FreeRegions {
  private final CudaRank rank;
  private final Peers peers;
  private final CudaStanding standing;
  private final long lateWords;

  FreeRegions(CudaRank rank, Peers peers, CudaStanding standing) {
    this.rank = rank;
    this.peers = peers;
    this.standing = standing;
    try (HostWords words = new HostWords()) {
      rank.require(Ep4jNative.bufferWords(rank.buffer, words.address()), "creating a buffer");
      lateWords = words.getLong(HostWords.LATE);
    }
    rank.regions.keepQuarantined(this::hasLateWriters);
  }

  /** Whether the device has said that a masked peer may still write to a region. */
  private boolean hasLateWriters(int region) {
    return OffHeap.getInt(lateWords + (long) Integer.BYTES * region) != 0;
  }

  /**
   * Takes a region.
   *
   * @param operation the call that wants it
   * @param ordinal the call's number
   * @throws IllegalStateException if none is free, naming what holds them
   */
  int take(String operation, long ordinal) {
    int slots = rank.regions.slots();
    int[] quarantined = new int[slots];
    int count = 0;
    try {
      while (rank.regions.taken() < slots) {
        int region = rank.regions.take(operation, ordinal);
        if (!hasLateWriters(region)) {
          return region;
        }
        quarantined[count++] = region;
      }
      if (count > 0) {
        look(operation);
      }
      for (int i = 0; i < count; i++) {
        if (standing.lateWriters(quarantined[i]) == 0) {
          int region = quarantined[i];
          quarantined[i] = quarantined[--count];
          return region;
        }
      }
      if (count > 0) {
        throw quarantined(operation + " #" + ordinal, quarantined, count);
      }
    } finally {
      for (int i = 0; i < count; i++) {
        rank.regions.give(quarantined[i]);
      }
    }
    return rank.regions.take(operation, ordinal);
  }

  /** Asks the device, which does not know by itself whose process has ended. */
  void look(String operation) {
    forgetGone(operation);
    standing.look(operation);
  }

  /** Tells the device who will never write again, nor have memory to be written to. */
  void forgetGone(String operation) {
    for (int peer = 0; peer < rank.numRanks; peer++) {
      if (peer != rank.rank && peers.isGone(peer)) {
        rank.require(Ep4jNative.forget(rank.buffer, peer), operation);
      }
    }
  }

  private IllegalStateException quarantined(String call, int[] regions, int count) {
    Set<Integer> writers = new TreeSet<>();
    for (int i = 0; i < count; i++) {
      long late = standing.lateWriters(regions[i]);
      for (int peer = 0; peer < rank.numRanks; peer++) {
        if ((late >>> peer & 1) != 0) {
          writers.add(peer);
        }
      }
    }
    return new IllegalStateException(
        "no free dispatch region for "
            + call
            + ": "
            + count
            + " of "
            + regions.length
            + " wait for masked ranks "
            + writers
            + ", which were let in and may still write there; the others are in use");
  }
}
