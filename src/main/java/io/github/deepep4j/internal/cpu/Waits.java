package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.TimeoutPolicy;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpMaskedException;
import io.github.deepep4j.error.EpTimeoutException;
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

  /** Records a failure that ends the buffer. */
  EpException fail(EpException cause) {
    failure = cause;
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
      blockedNanos[peer] += System.nanoTime() - started;
    }
  }

  /**
   * Waits for a peer to join an unmask. Masks and departures by mask are what this call ends, so
   * they do not end the wait; nor does its deadline fail the buffer.
   *
   * @return false if the deadline passed, or the peer closed its buffer or died
   */
  boolean awaitJoin(int peer, BooleanSupplier ready) {
    for (int attempt = 0; !ready.getAsBoolean(); attempt++) {
      if (attempt < spins) {
        Thread.onSpinWait();
        continue;
      }
      checkInterrupt(peer, Stage.UNMASK);
      boolean gone = peers.left(peer) == Peers.LEFT_CLOSED || peers.knownDead(peer);
      if (gone || System.nanoTime() - deadline >= 0) {
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
      boolean gone = peers.left(peer) != 0;
      long now = System.nanoTime();
      if (!gone && now >= nextLivenessCheck) {
        nextLivenessCheck = now + LIVENESS_PERIOD_NANOS;
        gone = peers.knownDead(peer);
      }
      if (gone || now - deadline >= 0) {
        // The message may have come between the poll and the verdict; a departure is published
        // after everything that the peer sent before.
        return ready.getAsBoolean() || giveUp(peer, stage, now - started, gone);
      }
      if (attempt < spins + yields) {
        Thread.yield();
      } else {
        LockSupport.parkNanos(SLEEP_NANOS);
      }
    }
  }

  private void checkInterrupt(int peer, Stage stage) {
    if (Thread.currentThread().isInterrupted()) {
      peers.publishFailure(peers.rank, stage);
      throw fail(
          new EpException(
              EpException.Code.INTERRUPTED,
              peers.rank,
              operation,
              "the thread was interrupted while it waited for rank "
                  + peer
                  + " ("
                  + stage.text
                  + "); the buffer has failed"));
    }
  }

  /** Throws if another rank has masked this one; tells the others that it leaves. */
  void checkMaskedHere() {
    int by = peers.maskedBy();
    if (by >= 0) {
      peers.leave(Peers.LEFT_MASKED, by);
      throw new EpMaskedException(peers.rank, operation, peers.rank, by);
    }
  }

  /** Throws what an unmasked peer has reported; under MASK goes on without it. */
  void checkFailedPeers() {
    int origin = peers.failedPeer();
    if (origin < 0) {
      return;
    }
    if (policy == TimeoutPolicy.MASK) {
      maskSilent(origin);
      return;
    }
    int culprit = peers.culpritOf(origin);
    Stage stage = peers.stageOf(origin);
    throw fail(
        culprit == origin
            ? new EpException(
                EpException.Code.ABORTED,
                peers.rank,
                operation,
                "rank " + origin + " was interrupted (" + stage.text + ") and has given up")
            : new EpTimeoutException(
                peers.rank, operation, origin, culprit, stage.text, "reported by rank " + origin));
  }

  private void maskSilent(int peer) {
    peers.mask(peer);
    onMask.masked(peer);
  }

  private boolean giveUp(int peer, Stage stage, long waitedNanos, boolean gone) {
    if (policy == TimeoutPolicy.MASK) {
      maskSilent(peer);
      return false;
    }
    long left = peers.left(peer);
    if ((left & 0xFF) == Peers.LEFT_MASKED) {
      throw fail(new EpMaskedException(peers.rank, operation, peer, (int) (left >>> 32)));
    }
    if (left != 0) {
      throw fail(
          new EpException(
              EpException.Code.ABORTED,
              peers.rank,
              operation,
              "rank " + peer + " has closed its buffer (waited for its " + stage.text + ")"));
    }
    peers.publishFailure(peer, stage);
    String detail =
        gone
            ? "its process has ended"
            : "waited "
                + waitedNanos / 1_000_000
                + " ms, the deadline is "
                + timeoutNanos / 1_000_000
                + " ms";
    throw fail(new EpTimeoutException(peers.rank, operation, peers.rank, peer, stage.text, detail));
  }
}
