package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.internal.memory.SharedWindow;
import java.util.Set;
import java.util.TreeSet;

/**
 * What one rank knows about the others: where their windows are, whom it has masked, and the
 * messages about leaving, masking and failing. Words here are written by one rank and read by the
 * window's owner; each is published by one release store and never taken back.
 *
 * <p>A mask or a departure is in force while its word differs from the one that the reader has
 * pardoned in an unmask. So nobody clears a word that somebody else writes, and a rank that is late
 * in coming back cannot overlook that it was masked anew meanwhile.
 */
final class Peers {
  /** Why a peer has left, in the lowest byte of its {@code left} word. */
  static final long LEFT_CLOSED = 1;

  /** The peer left because it was masked, until an unmask. */
  static final long LEFT_MASKED = 2;

  final int rank;
  final int numRanks;
  private final SharedWindow window;
  private final ControlLayout control;
  private final boolean[] masked;
  private final long[] pardonedMask;
  private final long[] pardonedLeft;
  private long masks;
  private long departures;
  private boolean away;

  Peers(int rank, int numRanks, SharedWindow window, ControlLayout control) {
    this.rank = rank;
    this.numRanks = numRanks;
    this.window = window;
    this.control = control;
    this.masked = new boolean[numRanks];
    this.pardonedMask = new long[numRanks];
    this.pardonedLeft = new long[numRanks];
  }

  /** Address of an offset in a rank's window. */
  long at(int owner, long offset) {
    return window.address(owner) + offset;
  }

  /** Address of an offset in this rank's own window. */
  long own(long offset) {
    return window.address(rank) + offset;
  }

  boolean isMasked(int peer) {
    return masked[peer];
  }

  Set<Integer> maskedRanks() {
    Set<Integer> ranks = new TreeSet<>();
    for (int peer = 0; peer < numRanks; peer++) {
      if (masked[peer]) {
        ranks.add(peer);
      }
    }
    return Set.copyOf(ranks);
  }

  /** Masks a peer here and tells it. */
  void mask(int peer) {
    if (!masked[peer]) {
      masked[peer] = true;
      OffHeap.putLongRelease(at(peer, control.masked(rank)), ++masks);
    }
  }

  /**
   * A rank that has masked this one, or −1. One that is masked here does not count: two ranks that
   * mask each other at the same moment have parted, and each goes on with whom it still sees.
   */
  int maskedBy() {
    for (int peer = 0; peer < numRanks; peer++) {
      if (!masked[peer] && isMaskedBy(peer)) {
        return peer;
      }
    }
    return -1;
  }

  boolean isMaskedBy(int peer) {
    return maskWord(peer) != pardonedMask[peer];
  }

  private long maskWord(int peer) {
    return OffHeap.getLongAcquire(own(control.masked(peer)));
  }

  /** Tells every peer that this rank sends nothing more; see the constants. */
  void leave(long reason) {
    if (reason == LEFT_MASKED && away) {
      return;
    }
    away = true;
    departures++;
    for (int peer = 0; peer < numRanks; peer++) {
      OffHeap.putLongRelease(at(peer, control.left(rank)), reason | departures << 8);
    }
  }

  private long leftWord(int peer) {
    return OffHeap.getLongAcquire(own(control.left(peer)));
  }

  /** Whether a peer has left, for either reason: it can touch this rank's memory no more. */
  boolean hasLeft(int peer) {
    return leftWord(peer) != pardonedLeft[peer];
  }

  /** Whether a peer has left because it was masked. */
  boolean hasLeftMasked(int peer) {
    long word = leftWord(peer);
    return word != pardonedLeft[peer] && (word & 0xFF) == LEFT_MASKED;
  }

  /** Whether a peer has closed its buffer. */
  boolean hasClosed(int peer) {
    return (leftWord(peer) & 0xFF) == LEFT_CLOSED;
  }

  /** Whether a peer's process has ended, as far as the operating system can tell. */
  boolean knownDead(int peer) {
    return window.knownDead(peer);
  }

  /** Whether a peer can write to this rank's memory no more. */
  boolean isGone(int peer) {
    return hasLeft(peer) || knownDead(peer);
  }

  /**
   * The words of a peer that an unmask will pardon, read while the peer waits in that unmask.
   *
   * @param mask its mask on this rank
   * @param left its departure
   */
  record Pardon(long mask, long left) {}

  Pardon readPardon(int peer) {
    return new Pardon(maskWord(peer), leftWord(peer));
  }

  /** Goes on with a member of an unmask as if neither had ever been away. */
  void welcome(int member, Pardon pardon) {
    masked[member] = false;
    pardonedMask[member] = pardon.mask();
    pardonedLeft[member] = pardon.left();
  }

  /** This rank takes part again. */
  void comeBack() {
    away = false;
  }

  /** Tells every peer, masked or not, that this rank gave up. Called once. */
  void publishFailure(FailureReport report) {
    for (int peer = 0; peer < numRanks; peer++) {
      if (peer != rank) {
        long record = at(peer, control.failed(rank));
        report.write(record + 8);
        OffHeap.putLongRelease(record, 1);
      }
    }
  }

  /** A rank that gave up and is not masked here, or −1. */
  int failedPeer() {
    for (int peer = 0; peer < numRanks; peer++) {
      if (!masked[peer] && OffHeap.getLongAcquire(own(control.failed(peer))) != 0) {
        return peer;
      }
    }
    return -1;
  }

  /** What a failed peer has reported. */
  FailureReport reportOf(int failedPeer) {
    return FailureReport.read(own(control.failed(failedPeer)) + 8);
  }
}
