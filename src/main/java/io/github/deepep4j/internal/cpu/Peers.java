package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.internal.memory.SharedWindow;
import java.util.Set;
import java.util.TreeSet;

/**
 * What one rank knows about the others: where their windows are, whom it has masked, and the
 * messages about leaving, masking and failing. Words here are written by one rank and read by the
 * window's owner; each is published by one release store and never taken back except by unmask.
 */
@SuppressWarnings("EnumOrdinal") // words between ranks, which all run this same version
final class Peers {
  /** Why a peer has left, in its {@code left} word. */
  static final long LEFT_CLOSED = 1;

  /** The peer left because it was masked; the upper half of the word says by whom. */
  static final long LEFT_MASKED = 2;

  final int rank;
  final int numRanks;
  private final SharedWindow window;
  private final ControlLayout control;
  private final boolean[] masked;

  Peers(int rank, int numRanks, SharedWindow window, ControlLayout control) {
    this.rank = rank;
    this.numRanks = numRanks;
    this.window = window;
    this.control = control;
    this.masked = new boolean[numRanks];
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
    masked[peer] = true;
    OffHeap.putLongRelease(at(peer, control.masked(rank)), 1);
  }

  /** Takes a mask back, here and in the peer's window. */
  void clearMask(int peer) {
    masked[peer] = false;
    OffHeap.putLongRelease(at(peer, control.masked(rank)), 0);
  }

  /** A rank that has masked this one, or −1. */
  int maskedBy() {
    for (int peer = 0; peer < numRanks; peer++) {
      if (isMaskedBy(peer)) {
        return peer;
      }
    }
    return -1;
  }

  boolean isMaskedBy(int peer) {
    return OffHeap.getLongAcquire(own(control.masked(peer))) != 0;
  }

  /** Tells every peer that this rank sends nothing more; see the constants. */
  void leave(long reason, int by) {
    for (int peer = 0; peer < numRanks; peer++) {
      OffHeap.putLongRelease(at(peer, control.left(rank)), reason | (long) by << 32);
    }
  }

  /** Takes a departure back. */
  void comeBack() {
    for (int peer = 0; peer < numRanks; peer++) {
      OffHeap.putLongRelease(at(peer, control.left(rank)), 0);
    }
  }

  /** A peer's {@code left} word, 0 while it is here. */
  long left(int peer) {
    return OffHeap.getLongAcquire(own(control.left(peer)));
  }

  /** Whether a peer can write to this rank's memory no more. */
  boolean isGone(int peer) {
    return left(peer) != 0 || window.knownDead(peer);
  }

  /** Whether a peer's process has ended, as far as the operating system can tell. */
  boolean knownDead(int peer) {
    return window.knownDead(peer);
  }

  /**
   * Tells every peer that this rank gave up.
   *
   * @param culprit whom it waited for, itself if it was interrupted
   * @param stage what for
   */
  void publishFailure(int culprit, Stage stage) {
    for (int peer = 0; peer < numRanks; peer++) {
      if (peer != rank) {
        long record = at(peer, control.failed(rank));
        OffHeap.putLong(record + 8, culprit);
        OffHeap.putLong(record + 16, stage.ordinal());
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

  /** Whom a failed peer waited for. */
  int culpritOf(int failedPeer) {
    return (int) OffHeap.getLong(own(control.failed(failedPeer)) + 8);
  }

  /** What a failed peer waited for. */
  Stage stageOf(int failedPeer) {
    return Stage.values()[(int) OffHeap.getLong(own(control.failed(failedPeer)) + 16)];
  }
}
