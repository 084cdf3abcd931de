package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.TimeoutPolicy;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpMaskedException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * The only place that waits for another rank. A wait spins briefly, then yields, then sleeps 50 µs
 * at a time, because ranks may share cores; and while it lasts it watches for everything that can
 * end it: the message, a peer that left or died, a failure that another rank reports, this rank
 * being masked, an interrupt, and the deadline.
 *
 * <p>All waits of one stage share one deadline, so that several silent peers cost one timeout and
 * not their sum.
 */
final class Waits {
  private static final long SLEEP_NANOS = 50_000;
  private static final long LIVENESS_PERIOD_NANOS = 20_000_000;

  private final Peers peers;
  private final TimeoutPolicy policy;
  private final int spins;
  private final int yields;
  private final long[] blockedNanos;
  private long[] charged;
  private String operation = "creation";
  private long timeoutNanos;
  private long deadline;
  private @Nullable EpException failure;
  private MaskListener onMask = peer -> {};

  /** Told when a wait masks a silent peer. */
  interface MaskListener {
    void masked(int peer);
  }

  Waits(Peers peers, BufferOptions options) {
    this.peers = peers;
    this.policy = options.onTimeout();
    this.spins = options.tuning().waitSpins();
    this.yields = options.tuning().waitYields();
    this.timeoutNanos = options.timeout().toNanos();
    this.blockedNanos = new long[peers.numRanks];
    this.charged = new long[peers.numRanks];
  }

  void onMask(MaskListener listener) {
    onMask = listener;
  }

  /** Names the operation that the following waits belong to and their time. */
  void enter(String name, long nanos) {
    operation = name;
    timeoutNanos = nanos;
    startStage();
  }

  /** Adds the waits that follow to these nanoseconds per peer, too. */
  void chargeTo(long[] waitNanos) {
    charged = waitNanos;
  }

  /** Starts the clock that the waits of one stage share. */
  void startStage() {
    deadline = System.nanoTime() + timeoutNanos;
  }

  /** Time blocked on each peer since the buffer was created. */
  long blockedNanos(int peer) {
    return blockedNanos[peer];
  }

  /** Throws if the buffer has failed before. */
  void checkUsable() {
    if (failure != null) {
      throw failure;
    }
  }

  boolean hasFailed() {
    return failure != null;
  }

  /**
   * Ends the buffer: later calls throw the same, and every peer is told.
   *
   * @param report what happened
   * @param how how this rank knows
   * @return what to throw
   */
  EpException fail(FailureReport report, String how) {
    EpException cause = report.toException(peers.rank, operation, how);
    failure = cause;
    peers.publishFailure(report);
    return cause;
  }

  /**
   * Waits until a peer's message is there.
   *
   * @param peer whose message; returns false at once if it is masked
   * @param stage what for
   * @param ready whether it is there
   * @return true when it is there, false if the peer is masked, before or now
   */
  boolean await(int peer, Stage stage, BooleanSupplier ready) {
    if (peers.isMasked(peer)) {
      return false;
    }
    if (ready.getAsBoolean()) {
      return true;
    }
    long started = System.nanoTime();
    try {
      return awaitSlowly(peer, stage, ready, started);
    } finally {
      long blocked = System.nanoTime() - started;
      blockedNanos[peer] += blocked;
      charged[peer] += blocked;
    }
  }

  /**
   * Waits for the members of an unmask. Masks and departures by mask are what this call ends, so
   * they do not end the wait; nor does its deadline fail the buffer.
   *
   * @param peer whom it is waited for, as far as is known; for the interrupt's message
   * @return false if the deadline passed
   */
  boolean awaitMembers(int peer, BooleanSupplier ready) {
    for (int attempt = 0; !ready.getAsBoolean(); attempt++) {
      if (attempt < spins) {
        Thread.onSpinWait();
        continue;
      }
      checkInterrupt(peer, Stage.UNMASK);
      checkFailedPeers();
      if (System.nanoTime() - deadline >= 0) {
        return ready.getAsBoolean();
      }
      LockSupport.parkNanos(SLEEP_NANOS);
    }
    return true;
  }

  @SuppressWarnings("ThreadPriorityCheck") // ranks share cores: the peer may need this one
  private boolean awaitSlowly(int peer, Stage stage, BooleanSupplier ready, long started) {
    long nextLivenessCheck = started + LIVENESS_PERIOD_NANOS;
    for (int attempt = 0; ; attempt++) {
      if (ready.getAsBoolean()) {
        return true;
      }
      if (attempt < spins) {
        Thread.onSpinWait();
        continue;
      }
      checkInterrupt(peer, stage);
      checkMaskedHere();
      checkFailedPeers();
      if (peers.isMasked(peer)) {
        return false;
      }
      boolean gone = peers.hasLeft(peer);
      long now = System.nanoTime();
      if (!gone && now - nextLivenessCheck >= 0) {
        nextLivenessCheck = now + LIVENESS_PERIOD_NANOS;
        gone = peers.knownDead(peer);
      }
      if (gone || now - deadline >= 0) {
        return lastLook(peer, stage, ready, now - started);
      }
      if (attempt < spins + yields) {
        Thread.yield();
      } else {
        LockSupport.parkNanos(SLEEP_NANOS);
      }
    }
  }

  /**
   * The end of a wait for a peer that is gone or late. What it sent and what it reported before it
   * left, it published before its departure: both may have come since the last poll.
   */
  private boolean lastLook(int peer, Stage stage, BooleanSupplier ready, long waitedNanos) {
    if (ready.getAsBoolean()) {
      return true;
    }
    checkMaskedHere();
    checkFailedPeers();
    if (!peers.isMasked(peer)) {
      giveUp(peer, stage, waitedNanos);
    }
    return false;
  }

  private void checkInterrupt(int peer, Stage stage) {
    if (Thread.currentThread().isInterrupted()) {
      throw fail(
          FailureReport.of(EpException.Code.INTERRUPTED, peers.rank, peers.rank, stage),
          "the thread was interrupted while it waited for rank "
              + peer
              + " ("
              + stage.text
              + "); the buffer has failed");
    }
  }

  /** Throws if another rank has masked this one; tells the others that it leaves. */
  void checkMaskedHere() {
    int by = peers.maskedBy();
    if (by >= 0) {
      peers.leave(Peers.LEFT_MASKED);
      throw new EpMaskedException(peers.rank, operation, peers.rank, by);
    }
  }

  /**
   * Throws what an unmasked peer has reported. Under MASK goes on without a peer that gave up, but
   * not where the ranks' programs differ: that ends every rank.
   */
  void checkFailedPeers() {
    for (int peer = peers.failedPeer(); peer >= 0; peer = peers.failedPeer()) {
      FailureReport report = peers.reportOf(peer);
      if (policy == TimeoutPolicy.THROW || report.code() == EpException.Code.MISMATCH) {
        throw fail(report, "reported by rank " + peer);
      }
      maskSilent(peer);
    }
  }

  private void maskSilent(int peer) {
    peers.mask(peer);
    onMask.masked(peer);
  }

  /**
   * Masks the peer or fails. A peer that has left because some rank masked it is masked here too,
   * whatever the policy: it sends nothing before its unmask, and that ranks learn of a mask at
   * different times must do no harm.
   */
  private void giveUp(int peer, Stage stage, long waitedNanos) {
    if (policy == TimeoutPolicy.MASK || peers.hasLeftMasked(peer)) {
      maskSilent(peer);
      return;
    }
    if (peers.hasClosed(peer)) {
      throw fail(
          FailureReport.of(EpException.Code.ABORTED, peers.rank, peer, stage),
          "its message had not come");
    }
    throw fail(
        FailureReport.of(EpException.Code.TIMEOUT, peers.rank, peer, stage),
        peers.knownDead(peer)
            ? "its process has ended"
            : "waited "
                + waitedNanos / 1_000_000
                + " ms, the deadline is "
                + timeoutNanos / 1_000_000
                + " ms");
  }
}
