package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.error.EpCapacityException;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpMaskedException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.ErrorRecord;
import io.github.deepep4j.internal.cuda.binding.HostWords;
import io.github.deepep4j.internal.memory.OffHeap;
import org.jspecify.annotations.Nullable;

/**
 * What devices and peers report, as the exceptions that the CPU backend throws for the same things.
 * A failure ends the buffer and is thrown by every later call; that this rank was masked, until it
 * is unmasked; why a bounded call was dropped, once.
 *
 * <p>Looking costs two loads of words that the device writes; so results look, too, when their data
 * is asked for: what a call that failed has left must not be taken for rows. Thread-safe: an event
 * may be waited for by any thread.
 */
final class Faults {
  private final int rank;
  private final BufferOptions options;
  private final ErrorRecord errorRecord = new ErrorRecord();
  private long buffer;
  private long faultWord;
  private long dropWord;
  private long undeliveredWord;
  private final LowLatencyCalls lowLatencyCalls = new LowLatencyCalls();
  private @Nullable EpException failure;
  private @Nullable EpMaskedException masked;
  private @Nullable EpException dropped;

  /**
   * Listens to a buffer.
   *
   * @param rank this rank
   * @param options the buffer's
   * @param buffer native handle; 0 to listen to none
   */
  Faults(int rank, BufferOptions options, long buffer) {
    this.rank = rank;
    this.options = options;
    this.buffer = buffer;
    if (buffer != 0) {
      try (HostWords words = new HostWords()) {
        Natives.require(Ep4jNative.bufferWords(buffer, words.address()), rank, "creating a buffer");
        faultWord = words.getLong(HostWords.FAULT);
        dropWord = words.getLong(HostWords.DROP);
        undeliveredWord = words.getLong(HostWords.UNDELIVERED);
      }
    }
  }

  /**
   * Remembers a low-latency call: the device tells of a call by its number only.
   *
   * @param ordinal its number
   * @param operation its name
   */
  synchronized void entered(long ordinal, String operation) {
    lowLatencyCalls.add(ordinal, operation);
  }

  /**
   * Throws what has ended the buffer, or what was reported since the last check.
   *
   * @param operation the call that asks
   */
  synchronized void check(String operation) {
    take(operation);
    if (failure != null) {
      throw failure;
    }
    if (masked != null) {
      throw new EpMaskedException(rank, operation, masked.maskedRank(), masked.maskedBy());
    }
    EpException report = dropped;
    if (report != null) {
      dropped = null;
      throw report;
    }
  }

  /**
   * Throws why a call's result is not whole, as far as the device has said so.
   *
   * @param ordinal number of the call
   * @param operation its name
   */
  synchronized void checkDelivered(long ordinal, String operation) {
    take(operation);
    EpException cause = failure != null ? failure : masked;
    if (cause != null
        && buffer != 0
        && Long.compareUnsigned(ordinal, OffHeap.getLongAcquire(undeliveredWord)) >= 0) {
      throw cause;
    }
  }

  /** Throws what has ended the buffer; a mask of this rank has not. */
  synchronized void checkUsable() {
    take("unmask");
    if (failure != null) {
      throw failure;
    }
  }

  /** Takes what the device has written since, if anything. */
  private void take(String operation) {
    if (buffer == 0) {
      return;
    }
    while (isSet(faultWord) || isSet(dropWord)) {
      errorRecord.reset();
      Natives.require(Ep4jNative.error(buffer, errorRecord.address()), rank, operation);
      if (translate(errorRecord, operation) == null) {
        return; // it is still being written
      }
    }
  }

  /** The word is the lower half of what is loaded. */
  private static boolean isSet(long word) {
    return (int) OffHeap.getLongAcquire(word) != 0;
  }

  /** Whether the buffer has ended by a failure. */
  synchronized boolean hasFailed() {
    return failure != null;
  }

  /** Records a failure that ends the buffer; the first one counts. */
  synchronized EpException fail(EpException cause) {
    if (failure == null) {
      failure = cause;
    }
    return failure;
  }

  /** This rank is masked no more. */
  synchronized void unmasked() {
    masked = null;
  }

  /** Listens no more: the native buffer is about to go. */
  synchronized void close() {
    buffer = 0;
    errorRecord.close();
  }

  /** The exception of a report, which is remembered; null if it is none. */
  synchronized @Nullable EpException translate(ErrorRecord seen, String operation) {
    int fault = seen.getInt(ErrorRecord.FAULT);
    int peer = seen.getInt(ErrorRecord.PEER);
    return switch (fault) {
      case Abi.FAULT_NONE -> null;
      case Abi.FAULT_TIMEOUT -> fail(timeout(seen, peer));
      case Abi.FAULT_PEER_FAILED -> fail(peerFailed(seen, peer));
      case Abi.FAULT_MISMATCH -> fail(mismatch(seen, peer));
      case Abi.FAULT_MASKED -> away(new EpMaskedException(rank, operation, rank, peer));
      case Abi.FAULT_OVERFLOW ->
          drop(
              overflow(peer, seen.getLong(ErrorRecord.NEEDED), seen.getLong(ErrorRecord.CAPACITY)));
      case Abi.FAULT_REFUSED ->
          drop(
              refused(
                  operation(seen, WaitStage.COUNTS),
                  peer,
                  seen.getInt(ErrorRecord.RULE),
                  seen.getLong(ErrorRecord.TOKEN),
                  seen.getLong(ErrorRecord.VALUE)));
      case Abi.FAULT_OVERTAKEN -> fail(overtaken(seen, peer));
      default ->
          fail(
              new EpException(
                  EpException.Code.DEVICE, rank, operation, "unknown device report " + fault));
    };
  }

  private EpException away(EpMaskedException report) {
    masked = report;
    return report;
  }

  private EpException drop(EpException report) {
    dropped = report;
    return report;
  }

  /** A call that was dropped because a rank has too little room. */
  EpCapacityException overflow(int fullRank, long needed, long capacity) {
    return new EpCapacityException(rank, "dispatch", fullRank, needed, capacity);
  }

  /** A call that was dropped because of a rank's routing. */
  EpException refused(String operation, int origin, int rule, long token, long value) {
    return new EpException(
        EpException.Code.REFUSED,
        rank,
        operation,
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

  /** Where timeouts mask, only a late writer ends a wait this way. */
  private EpException timeout(ErrorRecord seen, int peer) {
    WaitStage stage = WaitStage.of(seen.getInt(ErrorRecord.STAGE));
    return new EpTimeoutException(
        rank,
        operation(seen, stage),
        rank,
        peer,
        stage.text,
        "waited past the deadline for call "
            + seen.getLong(ErrorRecord.EXPECTED)
            + ", saw call "
            + seen.getLong(ErrorRecord.SEEN));
  }

  /** A rank that is its own culprit has not waited for anybody: its host has ended its part. */
  private EpException peerFailed(ErrorRecord seen, int culprit) {
    WaitStage stage = WaitStage.of(seen.getInt(ErrorRecord.STAGE));
    int origin = seen.getInt(ErrorRecord.ORIGIN);
    return culprit == origin
        ? new EpException(
            EpException.Code.ABORTED,
            rank,
            operation(seen, stage),
            "rank " + origin + " was interrupted or has closed its buffer, and takes part no more")
        : new EpTimeoutException(
            rank,
            operation(seen, stage),
            origin,
            culprit,
            stage.text,
            "reported by rank " + origin);
  }

  private EpException mismatch(ErrorRecord seen, int peer) {
    CallWords originCall = words(seen, ErrorRecord.ORIGIN_CALL);
    CallWords peerCall = words(seen, ErrorRecord.PEER_CALL);
    int origin = seen.getInt(ErrorRecord.ORIGIN);
    return new EpException(
        EpException.Code.MISMATCH,
        rank,
        (rank == peer ? peerCall : originCall).operation(),
        "call "
            + seen.getLong(ErrorRecord.EXPECTED)
            + " is "
            + originCall
            + " on rank "
            + origin
            + " and "
            + peerCall
            + " on rank "
            + peer
            + (rank == origin
                ? " (the calls must be alike)"
                : " (the calls must be alike; reported by rank " + origin + ")"));
  }

  private EpException overtaken(ErrorRecord seen, int peer) {
    WaitStage stage = WaitStage.of(seen.getInt(ErrorRecord.STAGE));
    return new EpException(
        EpException.Code.MISMATCH,
        rank,
        operation(seen, stage),
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

  /** The call that a report is of; of one before the last few, what its stage is part of mostly. */
  private String operation(ErrorRecord seen, WaitStage stage) {
    String lowLatency = lowLatencyCalls.operation(seen.getLong(ErrorRecord.EXPECTED));
    return lowLatency == null ? stage.operation : lowLatency;
  }

  private static CallWords words(ErrorRecord seen, int at) {
    return new CallWords(
        seen.getLong(at), seen.getLong(at + 8), seen.getLong(at + 16), seen.getLong(at + 24));
  }
}
