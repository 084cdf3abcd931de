package io.github.deepep4j.bench;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;

/**
 * The ranks' threads, driven in rounds: the calling thread is rank 0, the others follow it. A round
 * is one action on every rank and ends when the last has finished, so that all ranks make the same
 * number of calls whatever JMH decides to do on its own thread.
 *
 * <p>Followers wait for a round the way the library waits for a peer: spin, yield, then sleep.
 */
final class RankTeam implements AutoCloseable {

  private static final long DEADLINE_NANOS = TimeUnit.SECONDS.toNanos(90);
  private static final int YIELDS = 10_000;

  /** Words between two ranks' counters, so that they lie on different pairs of cache lines. */
  private static final int STRIDE = 16;

  /** What each rank does in a round. */
  interface Action {
    /**
     * Runs on the rank's thread.
     *
     * @param rank the rank
     * @throws Exception fails the round
     */
    void run(int rank) throws Exception;
  }

  private final int size;
  private final int spins;
  private final Thread[] followers;
  private final AtomicLongArray finished;
  private final AtomicReference<Throwable> failure = new AtomicReference<>();
  private Action action = rank -> {};
  private volatile long round;
  private volatile boolean closed;

  RankTeam(int size) {
    this.size = size;
    this.spins = size <= Runtime.getRuntime().availableProcessors() ? 20_000 : 100;
    this.finished = new AtomicLongArray(size * STRIDE);
    this.followers = new Thread[size - 1];
    for (int rank = 1; rank < size; rank++) {
      int follower = rank;
      followers[rank - 1] = new Thread(() -> follow(follower), "bench-rank-" + rank);
      followers[rank - 1].setDaemon(true);
      followers[rank - 1].start();
    }
  }

  /**
   * Runs one round.
   *
   * @param next what each rank does
   * @return nanoseconds until the last rank had finished
   * @throws IllegalStateException if a rank failed; its cause says how
   */
  long run(Action next) {
    action = next;
    long started = System.nanoTime();
    long current = round + 1;
    round = current; // publishes the action
    perform(0);
    for (int rank = 1; rank < size; rank++) {
      int follower = rank;
      await(() -> finished.getAcquire(follower * STRIDE) >= current, "rank " + rank);
    }
    long nanos = System.nanoTime() - started;
    Throwable cause = failure.get();
    if (cause != null) {
      throw new IllegalStateException("a rank failed: " + cause, cause);
    }
    return nanos;
  }

  /** Number of ranks. */
  int size() {
    return size;
  }

  private void follow(int rank) {
    for (long next = 1; ; next++) {
      long wanted = next;
      await(() -> round >= wanted || closed, null);
      if (closed) {
        return;
      }
      perform(rank);
      finished.setRelease(rank * STRIDE, wanted);
    }
  }

  private void perform(int rank) {
    try {
      action.run(rank);
    } catch (Exception | Error e) {
      failure.compareAndSet(null, e);
    }
  }

  private interface Condition {
    boolean holds();
  }

  /** Waits; for ever if nobody is named, since a follower has nothing else to do. */
  private void await(Condition condition, @org.jspecify.annotations.Nullable String whom) {
    for (int i = 0; i < spins; i++) {
      if (condition.holds()) {
        return;
      }
      Thread.onSpinWait();
    }
    for (int i = 0; i < YIELDS; i++) {
      if (condition.holds()) {
        return;
      }
      Thread.yield();
    }
    long deadline = System.nanoTime() + DEADLINE_NANOS;
    while (!condition.holds()) {
      if (whom != null && System.nanoTime() - deadline > 0) {
        throw new IllegalStateException(
            "the round did not end: " + whom + " is still in it", failure.get());
      }
      LockSupport.parkNanos(50_000);
    }
  }

  @Override
  public void close() {
    closed = true;
    for (Thread follower : followers) {
      try {
        follower.join(TimeUnit.SECONDS.toMillis(10));
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        return;
      }
    }
  }
}
