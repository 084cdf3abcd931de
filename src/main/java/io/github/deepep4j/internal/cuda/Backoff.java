package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.TuningConfig;
import java.util.concurrent.locks.LockSupport;

/**
 * How a host thread waits for the device: it polls briefly, then yields, then sleeps 50 µs at a
 * time, because ranks may share cores. An interrupt is therefore seen within a sleep.
 */
final class Backoff {
  private static final long SLEEP_NANOS = 50_000;

  private final int spins;
  private final int yields;
  private int attempt;

  Backoff(TuningConfig tuning) {
    this.spins = tuning.waitSpins();
    this.yields = tuning.waitYields();
  }

  /** Starts a new wait. */
  void start() {
    attempt = 0;
  }

  /**
   * Lets time pass before the next poll.
   *
   * @return false if the thread was interrupted; its interrupt status stays set
   */
  @SuppressWarnings("ThreadPriorityCheck") // ranks share cores: the peer may need this one
  boolean pause() {
    if (attempt < spins) {
      attempt++;
      Thread.onSpinWait();
      return true;
    }
    if (Thread.currentThread().isInterrupted()) {
      return false;
    }
    if (attempt < spins + yields) {
      attempt++;
      Thread.yield();
    } else {
      LockSupport.parkNanos(SLEEP_NANOS);
    }
    return true;
  }
}
