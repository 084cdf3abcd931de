package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.internal.memory.OffHeap;
import org.jspecify.annotations.Nullable;

/**
 * Why a rank's buffer has failed, as it tells its peers: enough for each of them to throw the same
 * failure in its own words. A rank that fails because of a peer's report passes it on unchanged, so
 * that it also reaches those who have masked its first author.
 *
 * @param code what happened to the origin
 * @param origin the rank that gave up first
 * @param culprit the rank that it waited for; the origin itself if it was interrupted
 * @param stage what it waited for
 * @param epoch of the calls that differ, else 0
 * @param originCall what the origin called, if calls differ
 * @param culpritCall what the culprit called, if calls differ
 */
@SuppressWarnings("EnumOrdinal") // words between ranks, which all run this same version
record FailureReport(
    EpException.Code code,
    int origin,
    int culprit,
    Stage stage,
    long epoch,
    @Nullable CallDescriptor originCall,
    @Nullable CallDescriptor culpritCall) {
  private static final int CALLS = 48;
  private static final int CALL_BYTES = 8 * CallDescriptor.WORDS;

  /** Bytes that {@link #write} stores. */
  static final int BYTES = CALLS + 2 * CALL_BYTES;

  /** A wait that ended without its message. */
  static FailureReport of(EpException.Code code, int origin, int culprit, Stage stage) {
    return new FailureReport(code, origin, culprit, stage, 0, null, null);
  }

  /** Ranks in different calls. */
  static FailureReport mismatch(
      long epoch, int origin, CallDescriptor originCall, int culprit, CallDescriptor culpritCall) {
    return new FailureReport(
        EpException.Code.MISMATCH, origin, culprit, Stage.CALL, epoch, originCall, culpritCall);
  }

  void write(long address) {
    OffHeap.putLong(address, code.ordinal());
    OffHeap.putLong(address + 8, origin);
    OffHeap.putLong(address + 16, culprit);
    OffHeap.putLong(address + 24, stage.ordinal());
    OffHeap.putLong(address + 32, epoch);
    OffHeap.putLong(address + 40, originCall == null ? 0 : 1);
    if (originCall != null && culpritCall != null) {
      originCall.write(address + CALLS);
      culpritCall.write(address + CALLS + CALL_BYTES);
    }
  }

  static FailureReport read(long address) {
    boolean calls = OffHeap.getLong(address + 40) != 0;
    return new FailureReport(
        EpException.Code.values()[(int) OffHeap.getLong(address)],
        (int) OffHeap.getLong(address + 8),
        (int) OffHeap.getLong(address + 16),
        Stage.values()[(int) OffHeap.getLong(address + 24)],
        OffHeap.getLong(address + 32),
        calls ? CallDescriptor.read(address + CALLS) : null,
        calls ? CallDescriptor.read(address + CALLS + CALL_BYTES) : null);
  }

  /**
   * The failure in the words of one rank.
   *
   * @param rank the rank that throws
   * @param operation what it was doing
   * @param how how it knows: what it saw itself, or who told it
   */
  EpException toException(int rank, String operation, String how) {
    return switch (code) {
      case TIMEOUT -> new EpTimeoutException(rank, operation, origin, culprit, stage.text, how);
      case MISMATCH ->
          new EpException(
              code,
              rank,
              operation,
              "call "
                  + epoch
                  + " is "
                  + originCall
                  + " on rank "
                  + origin
                  + " and "
                  + culpritCall
                  + " on rank "
                  + culprit
                  + " ("
                  + how
                  + ")");
      case INTERRUPTED -> interrupted(rank, operation, how);
      default ->
          new EpException(
              EpException.Code.ABORTED,
              rank,
              operation,
              "rank "
                  + culprit
                  + " has closed its buffer, rank "
                  + origin
                  + " waited for it ("
                  + stage.text
                  + "): "
                  + how);
    };
  }

  /** The interrupted rank says so; for its peers it is a rank that has left. */
  private EpException interrupted(int rank, String operation, String how) {
    return rank == origin
        ? new EpException(code, rank, operation, how)
        : new EpException(
            EpException.Code.ABORTED,
            rank,
            operation,
            "rank " + origin + " was interrupted (" + stage.text + ") and has given up: " + how);
  }
}
