package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Counts;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;

/**
 * The host's wait for what a counted dispatch tells. It has no deadline of its own, because the
 * call may stand behind hours of the caller's work on its stream; the device has one for each of
 * its waits. What ends the wait is the answer, an interrupt, or a stream that has failed or has
 * nothing left to do.
 */
final class HostCounts implements AutoCloseable {
  private static final long STREAM_CHECK_NANOS = 20_000_000;

  private final CudaRank rank;
  private final Backoff backoff;
  private final Counts counts = new Counts();
  private final Memory perExpert;

  HostCounts(CudaRank rank) {
    this.rank = rank;
    this.backoff = new Backoff(rank.options.tuning());
    this.perExpert = OffHeap.allocate((long) Integer.BYTES * rank.localExperts);
  }

  /**
   * Waits for a dispatch's counts.
   *
   * @param ticket of the dispatch
   * @param stream that it runs on
   * @return rows received, padding included
   * @throws EpException if the call was dropped everywhere, or this rank gave up, or the thread was
   *     interrupted
   */
  int await(long ticket, long stream) {
    backoff.start();
    long nextCheck = System.nanoTime() + STREAM_CHECK_NANOS;
    boolean streamDone = false;
    while (!poll(ticket)) {
      if (streamDone) {
        rank.faults.check("dispatch");
        throw rank.faults.fail(
            new EpException(
                EpException.Code.DEVICE,
                rank.rank,
                "dispatch",
                "the stream has finished without counts for ticket " + ticket));
      }
      if (!backoff.pause()) {
        // The device waits on, and peers with it, unless they are told.
        rank.require(Ep4jNative.abort(rank.buffer), "dispatch");
        throw rank.faults.fail(
            new EpException(
                EpException.Code.INTERRUPTED,
                rank.rank,
                "dispatch",
                "the thread was interrupted while it waited for the counts; the buffer has failed"));
      }
      if (System.nanoTime() - nextCheck >= 0) {
        nextCheck = System.nanoTime() + STREAM_CHECK_NANOS;
        streamDone = isDone(stream);
      }
    }
    return verdict();
  }

  /** The counts of the dispatch last waited for, {@code [localExperts]}. */
  int[] tokensPerExpert() {
    int[] copy = new int[rank.localExperts];
    OffHeap.copyToArray(perExpert.address(), copy, 0, copy.length);
    return copy;
  }

  private boolean poll(long ticket) {
    counts.reset();
    int status =
        Ep4jNative.dispatchCounts(rank.buffer, ticket, 0, counts.address(), perExpert.address());
    if (status == Abi.PENDING) {
      return false;
    }
    rank.require(status, "dispatch");
    return true;
  }

  private boolean isDone(long stream) {
    int status = Ep4jNative.streamQuery(rank.device.index(), stream);
    if (status == Abi.PENDING) {
      return false;
    }
    rank.require(status, "dispatch");
    return true;
  }

  private int verdict() {
    int origin = counts.getInt(Counts.ORIGIN);
    return switch (counts.getInt(Counts.VERDICT)) {
      case Abi.SENT -> counts.getInt(Counts.NUM_RECEIVED);
      case Abi.OVERFLOW ->
          throw rank.faults.overflow(
              origin, counts.getLong(Counts.NEEDED), counts.getLong(Counts.CAPACITY));
      case Abi.REFUSED ->
          throw rank.faults.refused(
              "dispatch",
              origin,
              counts.getInt(Counts.RULE),
              counts.getInt(Counts.TOKEN),
              counts.getLong(Counts.VALUE));
      default -> {
        rank.faults.check("dispatch");
        throw rank.faults.fail(
            new EpException(
                EpException.Code.DEVICE,
                rank.rank,
                "dispatch",
                "the device gave up without a report, verdict " + counts.getInt(Counts.VERDICT)));
      }
    };
  }

  @Override
  public void close() {
    counts.close();
    perExpert.close();
  }
}
