package io.github.deepep4j.error;

import java.util.Objects;

/**
 * A failure of an expert-parallel operation: something that the local caller could not have known
 * before the call. Immutable and safe to share between threads.
 */
public class EpException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /** What went wrong, for programs. */
  public enum Code {
    /** A wait on another rank passed its deadline. */
    TIMEOUT,
    /** More rows arrived than the receive capacity holds; nothing was sent. */
    CAPACITY,
    /** This rank was masked by another one. */
    MASKED,
    /** The ranks called different operations, or the same one with different arguments. */
    MISMATCH,
    /** A rank's routing breaks a rule that only the routing's data can show; nothing was sent. */
    REFUSED,
    /** A peer closed its buffer, left, or aborted the group. */
    ABORTED,
    /** The calling thread was interrupted while it waited for another rank. */
    INTERRUPTED,
    /** The process group could not be formed or broke (network, authentication, protocol). */
    GROUP,
    /** The backend asked for does not work on this machine. */
    BACKEND_UNAVAILABLE,
    /** The device or the operating system reported an error. */
    DEVICE
  }

  /** What went wrong. */
  private final Code code;

  /** The rank that reports. */
  private final int rank;

  /** The operation that failed. */
  private final String operation;

  /**
   * Makes an exception.
   *
   * @param code what went wrong
   * @param rank the rank that reports it, −1 when it has none yet
   * @param operation the operation that failed, such as {@code dispatch}
   * @param detail the rule that was broken and the value seen
   */
  public EpException(Code code, int rank, String operation, String detail) {
    this(code, rank, operation, detail, null);
  }

  /**
   * Makes an exception with a cause.
   *
   * @param code what went wrong
   * @param rank the rank that reports it, −1 when it has none yet
   * @param operation the operation that failed
   * @param detail the rule that was broken and the value seen
   * @param cause what caused it, or null
   */
  public EpException(
      Code code,
      int rank,
      String operation,
      String detail,
      @org.jspecify.annotations.Nullable Throwable cause) {
    super(code + " in " + operation + (rank < 0 ? "" : " on rank " + rank) + ": " + detail, cause);
    this.code = Objects.requireNonNull(code, "code");
    this.rank = rank;
    this.operation = Objects.requireNonNull(operation, "operation");
  }

  /**
   * What went wrong.
   *
   * @return the code
   */
  public final Code code() {
    return code;
  }

  /**
   * The rank that reports the failure (not necessarily the one that caused it).
   *
   * @return the rank, −1 when the failure came before ranks were known
   */
  public final int rank() {
    return rank;
  }

  /**
   * The operation that failed.
   *
   * @return its name
   */
  public final String operation() {
    return operation;
  }
}
