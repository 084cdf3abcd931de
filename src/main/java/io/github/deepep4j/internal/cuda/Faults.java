package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.TimeoutPolicy;
import io.github.deepep4j.error.EpCapacityException;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpMaskedException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.ErrorRecord;
import org.jspecify.annotations.Nullable;

/**
 * What devices and peers report, as the exceptions that the CPU backend throws for the same things.
 * A report that ends the buffer is remembered and thrown by every later call; one about a bounded
 * call that was dropped is thrown once. Thread-safe: an event may be waited for by any thread.
 */
final class Faults {
  private final int rank;
  private final BufferOptions options;
  private final ErrorRecord errorRecord = new ErrorRecord();
  private long buffer;
  private @Nullable EpException failure;

  /**
   * Listens to a buffer.
   *
   * @param rank this rank
   * @param options the buffer's
   * @param buffer native handle
   */
  Faults(int rank, BufferOptions options, long buffer) {
    this.rank = rank;
    this.options = options;
    this.buffer = buffer;
  }

  /**
   * Throws what has ended the buffer, or what was reported since the last check.
   *
   * @param operation the call that asks
   */
  synchronized void check(String operation) {
    if (failure != null) {
      throw failure;
    }
    if (buffer == 0) {
      return;
    }
    errorRecord.reset();
    Natives.require(Ep4jNative.error(buffer, errorRecord.address()), rank, operation);
    EpException report = translate(errorRecord, operation);
    if (report != null) {
      throw report;
    }
  }

  /** Whether the buffer has ended by a failure. */
  synchronized boolean hasFailed() {
    return failure != null;
  }

  /** Records a failure that ends the buffer. */
  synchronized EpException fail(EpException cause) {
    failure = cause;
    return cause;
  }

  /** Listens no more: the native buffer is about to go. */
  synchronized void close() {
    buffer = 0;
    errorRecord.close();
  }

  /** The exception of a report; null if it is none, or one that masking has dealt with. */
  @Nullable EpException translate(ErrorRecord seen, String operation) {
    int fault = seen.getInt(ErrorRecord.FAULT);
    int peer = seen.getInt(ErrorRecord.PEER);
    return switch (fault) {
      case Abi.FAULT_NONE -> null;
      case Abi.FAULT_TIMEOUT -> timeout(seen, peer);
      case Abi.FAULT_PEER_FAILED -> peerFailed(seen, peer);
      case Abi.FAULT_MISMATCH -> fail(mismatch(seen, peer));
      case Abi.FAULT_MASKED -> new EpMaskedException(rank, operation, rank, peer);
      case Abi.FAULT_OVERFLOW ->
          overflow(peer, seen.getLong(ErrorRecord.NEEDED), seen.getLong(ErrorRecord.CAPACITY));
      case Abi.FAULT_REFUSED ->
          refused(
              peer,
              seen.getInt(ErrorRecord.RULE),
              seen.getLong(ErrorRecord.TOKEN),
              seen.getLong(ErrorRecord.VALUE));
      case Abi.FAULT_OVERTAKEN -> fail(overtaken(seen, peer));
      default ->
          fail(
              new EpException(
                  EpException.Code.DEVICE, rank, operation, "unknown device report " + fault));
    };
  }

  /** A call that was dropped because a rank has too little room. */
  EpCapacityException overflow(int fullRank, long needed, long capacity) {
    return new EpCapacityException(rank, "dispatch", fullRank, needed, capacity);
  }

  /** A call that was dropped because of a rank's routing. */
  EpException refused(int origin, int rule, long token, long value) {
    return new EpException(
        EpException.Code.REFUSED,
        rank,
        "dispatch",
        "rank "
            + origin
            + ", token "
            + token
            + ": expert index "
            + value
            + (rule == Abi.ROUTING_TWICE
                ? " appears twice in the token"
                : " is not from -1 to " + (options.numExperts() - 1)));
  }

  private @Nullable EpException timeout(ErrorRecord seen, int peer) {
    if (options.onTimeout() == TimeoutPolicy.MASK) {
      return null; // the device has masked the peer and gone on
    }
    WaitStage stage = WaitStage.of(seen.getInt(ErrorRecord.STAGE));
    return fail(
        new EpTimeoutException(
            rank,
            stage.operation,
            rank,
            peer,
            stage.text,
            "waited past the deadline for call "
                + seen.getLong(ErrorRecord.EXPECTED)
                + ", saw call "
                + seen.getLong(ErrorRecord.SEEN)));
  }

  private EpException peerFailed(ErrorRecord seen, int culprit) {
    WaitStage stage = WaitStage.of(seen.getInt(ErrorRecord.STAGE));
    int origin = seen.getInt(ErrorRecord.ORIGIN);
    return fail(
        culprit == origin
            ? new EpException(
                EpException.Code.ABORTED,
                rank,
                stage.operation,
                "rank "
                    + origin
                    + " was interrupted ("
                    + stage.text
                    + ") and has given up: reported by rank "
                    + origin)
            : new EpTimeoutException(
                rank, stage.operation, origin, culprit, stage.text, "reported by rank " + origin));
  }

  private EpException mismatch(ErrorRecord seen, int peer) {
    CallWords own = words(seen, ErrorRecord.OWN_CALL);
    return new EpException(
        EpException.Code.MISMATCH,
        rank,
        own.operation(),
        "call "
            + seen.getLong(ErrorRecord.EXPECTED)
            + " is "
            + own
            + " on rank "
            + rank
            + " and "
            + words(seen, ErrorRecord.PEER_CALL)
            + " on rank "
            + peer
            + " (the calls must be alike)");
  }

  private EpException overtaken(ErrorRecord seen, int peer) {
    WaitStage stage = WaitStage.of(seen.getInt(ErrorRecord.STAGE));
    return new EpException(
        EpException.Code.MISMATCH,
        rank,
        stage.operation,
        "rank "
            + peer
            + " is in call "
            + seen.getLong(ErrorRecord.SEEN)
            + " and has overtaken this rank, which waits in call "
            + seen.getLong(ErrorRecord.EXPECTED)
            + " ("
            + stage.text
            + ")");
  }

  private static CallWords words(ErrorRecord seen, int at) {
    return new CallWords(
        seen.getLong(at), seen.getLong(at + 8), seen.getLong(at + 16), seen.getLong(at + 24));
  }
}
