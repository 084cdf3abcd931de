package io.github.deepep4j.group;

import io.github.deepep4j.error.EpException;
import java.io.IOException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * One rank's end, as its calling thread sees it: forms the group, then gathers one round after
 * another until the group ends. How parts travel is the business of {@link TcpHub} (rank 0) and
 * {@link TcpSpoke} (the others). All state is guarded by {@code lock}.
 */
abstract class TcpEnd implements EventLoop.Owner {
  static final String FORMING = "forming a group";
  static final String ALL_GATHER = "allGather";

  /**
   * How much longer than its deadline a rank waits for rank 0's verdict, which names the culprit. A
   * rank that hears nothing by then blames rank 0.
   */
  static final long VERDICT_NANOS = TimeUnit.SECONDS.toNanos(2);

  final TcpSettings settings;
  final ReentrantLock lock = new ReentrantLock();
  final Condition changed = lock.newCondition();
  final EventLoop loop;

  /** When this rank stops waiting for the group to form. */
  long formingDeadline;

  boolean formed;

  /** The round that is being gathered, and what has come of it. */
  long round;

  byte[][] parts;
  private int present;

  /** The last whole round; stays until the caller has come back for the next. */
  private byte[][] complete = new byte[0][];

  private boolean exchanging;
  private boolean closed;
  private @Nullable GroupEnd end;
  private long endFromRound;

  TcpEnd(TcpSettings settings) throws IOException {
    this.settings = settings;
    this.parts = new byte[settings.size()][];
    this.loop = new EventLoop(lock, this);
  }

  /** Starts to look for the other ranks. */
  abstract void begin() throws IOException;

  /** Sends this rank's part to where rounds are gathered. */
  abstract void contribute(byte[] part);

  /** Tells the other ranks, as far as this end can, that the group has ended. */
  abstract void tellEnd(long fromRound, GroupEnd reason);

  /** Whether what the other ranks need from this end has left it. */
  abstract boolean isHandedOver();

  /** Whom to blame when the caller's deadline passes. */
  abstract GroupEnd late();

  /** Whether rank 0's verdict may still come after the deadline. */
  abstract boolean hasVerdictToWaitFor();

  /** Ends all connections, without waiting. */
  abstract void disconnect(boolean wasFormed);

  /** Returns when every rank has joined. */
  void form() {
    lock.lock();
    try {
      formingDeadline = System.nanoTime() + settings.formingTimeout().toNanos();
      try {
        begin();
      } catch (IOException e) {
        throw new EpException(
            EpException.Code.GROUP, settings.rank(), FORMING, String.valueOf(e.getMessage()), e);
      }
      loop.start("deepep4j-group-" + settings.rank());
      while (!formed) {
        checkAlive(FORMING);
        awaitUntil(formingDeadline, FORMING);
      }
    } catch (RuntimeException | Error e) {
      closeNow();
      throw e;
    } finally {
      lock.unlock();
    }
  }

  /** Gives this rank's part and returns everybody's. */
  byte[][] exchange(byte[] part) {
    lock.lock();
    try {
      checkAlive(ALL_GATHER);
      if (exchanging) {
        throw new IllegalStateException(
            "rank " + settings.rank() + "'s end of the group is used by two threads at once");
      }
      exchanging = true;
      try {
        return gather(part);
      } finally {
        exchanging = false;
      }
    } finally {
      lock.unlock();
    }
  }

  private byte[][] gather(byte[] part) {
    long mine = round;
    long deadline = System.nanoTime() + settings.timeout().toNanos();
    contribute(part);
    while (round == mine || !isHandedOver()) {
      if (round == mine) {
        checkAlive(ALL_GATHER);
      } else {
        checkOpen();
      }
      awaitUntil(deadline, ALL_GATHER);
    }
    return complete;
  }

  /** Waits for a change, or settles who is to blame when there is no time left. */
  @SuppressWarnings("WaitNotInLoop") // every caller is a loop over its own condition
  private void awaitUntil(long deadline, String operation) {
    long remaining = deadline - System.nanoTime();
    if (remaining <= 0 && hasVerdictToWaitFor()) {
      remaining += VERDICT_NANOS;
    }
    if (remaining <= 0) {
      GroupEnd late = late();
      endWith(round, late);
      throw late.exception(settings.rank(), operation);
    }
    try {
      changed.awaitNanos(remaining);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      endWith(0, GroupEnd.interrupted(settings.rank()));
      throw new EpException(
          EpException.Code.INTERRUPTED,
          settings.rank(),
          operation,
          "the thread was interrupted",
          e);
    }
  }

  /**
   * Takes a rank's part of the round that is being gathered. A round that some rank has been told
   * is lost stays lost, even if its last part comes after all.
   */
  final void put(int rank, byte[] part) {
    if (isLost(round)) {
      return;
    }
    parts[rank] = part;
    present++;
    if (present == settings.size()) {
      complete = parts;
      parts = new byte[settings.size()][];
      present = 0;
      round++;
      changed.signalAll();
    }
  }

  final int firstMissing() {
    for (int rank = 0; rank < parts.length; rank++) {
      if (parts[rank] == null) {
        return rank;
      }
    }
    throw new IllegalStateException("no part is missing");
  }

  private void checkAlive(String operation) {
    checkOpen();
    if (end != null && isLost(round)) {
      throw end.exception(settings.rank(), operation);
    }
  }

  private boolean isLost(long candidate) {
    return end != null && candidate >= endFromRound;
  }

  private void checkOpen() {
    if (closed) {
      throw new IllegalStateException(
          "rank " + settings.rank() + " has closed its end of the group");
    }
  }

  final boolean hasEnded() {
    return end != null;
  }

  /**
   * Ends the group here and tells the others. The first reason stays, unless a later one concerns
   * an earlier round.
   */
  final void endWith(long fromRound, GroupEnd reason) {
    if (closed || (end != null && endFromRound <= fromRound)) {
      return;
    }
    end = reason;
    endFromRound = fromRound;
    changed.signalAll();
    tellEnd(fromRound, reason);
  }

  void abort(String reason) {
    lock.lock();
    try {
      endWith(0, GroupEnd.aborted(settings.rank(), reason));
    } finally {
      lock.unlock();
    }
  }

  void close() {
    lock.lock();
    try {
      closeNow();
    } finally {
      lock.unlock();
    }
  }

  private void closeNow() {
    if (!closed) {
      disconnect(formed);
      closed = true;
      loop.stop();
      changed.signalAll();
    }
  }

  @Override
  public void broken(Throwable cause) {
    endWith(
        0,
        GroupEnd.broken(
            settings.rank(),
            settings.rank(),
            "rank " + settings.rank() + " can't go on with its network work: " + cause));
  }
}
