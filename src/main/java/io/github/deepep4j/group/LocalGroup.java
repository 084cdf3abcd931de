package io.github.deepep4j.group;

import io.github.deepep4j.error.EpException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A group whose ranks are threads of one JVM. An instance is one rank's end.
 *
 * <pre>{@code
 * LocalGroup.run(4, group -> {
 *   try (Buffer buffer = Buffer.create(group, options)) {
 *     train(group.rank(), buffer);
 *   }
 * });
 * }</pre>
 *
 * <p>Exchanges are collective and blocking, as {@link ProcessGroup} says; messages may have any
 * length. An end is used by one thread at a time.
 */
public final class LocalGroup implements ProcessGroup {
  private static final Duration DEFAULT_TIMEOUT = Duration.ofSeconds(30);

  private final Exchange exchange;
  private final int rank;
  private volatile boolean closed;

  private LocalGroup(Exchange exchange, int rank) {
    this.exchange = exchange;
    this.rank = rank;
  }

  /** What one rank does. */
  @FunctionalInterface
  public interface Body {
    /**
     * Runs a rank on a thread of its own.
     *
     * @param group the rank's end; closed afterwards
     * @throws Exception fails the rank and aborts the group
     */
    void run(LocalGroup group) throws Exception;
  }

  /**
   * Makes the ends of a group with a deadline of 30 s for each exchange. Local.
   *
   * @param size n ≥ 1
   * @return one end per rank, by rank, each for a thread of its own
   * @throws IllegalArgumentException if the size is less than 1
   */
  public static List<LocalGroup> create(int size) {
    return create(size, DEFAULT_TIMEOUT);
  }

  /**
   * Makes the ends of a group. Local.
   *
   * @param size n ≥ 1
   * @param timeout deadline of each exchange, more than zero
   * @return one end per rank, by rank, each for a thread of its own
   * @throws IllegalArgumentException if the size is less than 1 or the timeout is not positive
   */
  public static List<LocalGroup> create(int size, Duration timeout) {
    if (size < 1) {
      throw new IllegalArgumentException("size must be >= 1: " + size);
    }
    if (timeout.isZero() || timeout.isNegative()) {
      throw new IllegalArgumentException("timeout must be more than zero: " + timeout);
    }
    Exchange exchange = new Exchange(size, timeout);
    List<LocalGroup> ends = new ArrayList<>();
    for (int rank = 0; rank < size; rank++) {
      ends.add(new LocalGroup(exchange, rank));
    }
    return List.copyOf(ends);
  }

  /**
   * Runs every rank on a thread of its own and returns when all have ended. A rank that fails
   * aborts the group, so that the others' exchanges end too; interrupting the caller interrupts
   * every rank.
   *
   * @param size n ≥ 1
   * @param body what each rank does
   * @throws EpException if a rank failed: the failure of the first one is its cause, the others'
   *     are suppressed by it; {@code INTERRUPTED} if the caller was interrupted
   * @throws IllegalArgumentException if the size is less than 1
   */
  public static void run(int size, Body body) {
    Objects.requireNonNull(body, "body");
    new Run(create(size), body).await();
  }

  /** Ranks under way. */
  private static final class Run {
    private final List<Thread> threads = new ArrayList<>();
    private final List<Throwable> failures = new ArrayList<>();
    private final CountDownLatch running;
    private int firstToFail;

    Run(List<LocalGroup> ends, Body body) {
      running = new CountDownLatch(ends.size());
      for (LocalGroup end : ends) {
        Thread thread = new Thread(() -> runRank(end, body), "deepep4j-rank-" + end.rank);
        thread.setDaemon(true);
        threads.add(thread);
      }
    }

    private void runRank(LocalGroup end, Body body) {
      // The failure is recorded before the rank leaves: leaving fails the others.
      try {
        body.run(end);
      } catch (Exception | Error e) {
        synchronized (failures) {
          if (failures.isEmpty()) {
            firstToFail = end.rank;
          }
          failures.add(e);
        }
        end.abort("rank " + end.rank + " failed: " + e);
      } finally {
        end.close();
        running.countDown();
      }
    }

    void await() {
      threads.forEach(Thread::start);
      boolean interrupted = false;
      while (true) {
        try {
          running.await();
          break;
        } catch (InterruptedException e) {
          interrupted = true;
          threads.forEach(Thread::interrupt);
        }
      }
      EpException failure = failure(interrupted);
      if (interrupted) {
        Thread.currentThread().interrupt();
      }
      if (failure != null) {
        throw failure;
      }
    }

    private @Nullable EpException failure(boolean interrupted) {
      synchronized (failures) {
        if (failures.isEmpty()) {
          return null;
        }
        Throwable first = failures.get(0);
        for (Throwable other : failures) {
          if (other != first) {
            first.addSuppressed(other);
          }
        }
        EpException.Code code =
            interrupted
                ? EpException.Code.INTERRUPTED
                : first instanceof EpException known ? known.code() : EpException.Code.ABORTED;
        return new EpException(code, firstToFail, "run", "the rank failed: " + first, first);
      }
    }
  }

  @Override
  public int rank() {
    return rank;
  }

  @Override
  public int size() {
    return exchange.size;
  }

  @Override
  public byte[][] allGather(byte[] bytes) {
    if (closed) {
      throw new IllegalStateException("rank " + rank + " has closed its end of the group");
    }
    return exchange.allGather(rank, bytes.clone());
  }

  @Override
  public void abort(String reason) {
    exchange.end(GroupEnd.aborted(rank, reason));
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      exchange.leave(rank);
    }
  }

  /** The meeting place: one round after another, each complete when every rank has put its part. */
  private static final class Exchange {
    private static final String OPERATION = "allGather";

    final int size;
    private final Duration timeout;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final boolean[] left;
    private byte[][] parts;
    private int present;

    /**
     * The last complete round. It stays until every rank has read it, because the next one is
     * complete only when every rank has come back.
     */
    private byte[][] complete;

    private long round;
    private @Nullable GroupEnd end;

    Exchange(int size, Duration timeout) {
      this.size = size;
      this.timeout = timeout;
      this.left = new boolean[size];
      this.parts = new byte[size][];
      this.complete = new byte[0][];
    }

    byte[][] allGather(int rank, byte[] part) {
      lock.lock();
      try {
        checkAlive(rank);
        if (parts[rank] != null) {
          throw new IllegalStateException(
              "rank " + rank + "'s end of the group is used by two threads at once");
        }
        long mine = round;
        parts[rank] = part;
        present++;
        if (present == size) {
          complete = parts;
          parts = new byte[size][];
          present = 0;
          round++;
          changed.signalAll();
        } else {
          await(rank, mine);
        }
        byte[][] copies = new byte[size][];
        for (int i = 0; i < size; i++) {
          copies[i] = complete[i].clone();
        }
        return copies;
      } finally {
        lock.unlock();
      }
    }

    private void await(int rank, long mine) {
      long remaining = timeout.toNanos();
      while (round == mine) {
        endIfMissedPeerLeft();
        checkAlive(rank);
        if (remaining <= 0) {
          endWith(GroupEnd.timedOut(rank, firstMissing(), "the deadline is " + timeout));
          continue;
        }
        try {
          remaining = changed.awaitNanos(remaining);
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
          endWith(GroupEnd.interrupted(rank));
          throw new EpException(
              EpException.Code.INTERRUPTED, rank, OPERATION, "the thread was interrupted", e);
        }
      }
    }

    private int firstMissing() {
      for (int i = 0; i < size; i++) {
        if (parts[i] == null) {
          return i;
        }
      }
      throw new IllegalStateException("no part is missing");
    }

    private void checkAlive(int rank) {
      if (end != null) {
        throw end.exception(rank, OPERATION);
      }
    }

    /** A rank may leave after its part of a round: that round still becomes complete. */
    private void endIfMissedPeerLeft() {
      for (int i = 0; i < size; i++) {
        if (left[i] && parts[i] == null) {
          endWith(GroupEnd.left(i));
        }
      }
    }

    void leave(int rank) {
      lock.lock();
      try {
        left[rank] = true;
        changed.signalAll();
      } finally {
        lock.unlock();
      }
    }

    void end(GroupEnd reason) {
      lock.lock();
      try {
        endWith(reason);
      } finally {
        lock.unlock();
      }
    }

    private void endWith(GroupEnd reason) {
      if (end == null) {
        end = reason;
        changed.signalAll();
      }
    }
  }
}
