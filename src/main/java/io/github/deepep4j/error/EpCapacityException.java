package io.github.deepep4j.error;

/**
 * More rows were routed to a rank than its receive region holds. Thrown on every rank of the call;
 * no row was sent, inputs and buffer are intact, and the call may be repeated.
 */
public final class EpCapacityException extends EpException {
  private static final long serialVersionUID = 1L;

  /** Rank whose region is too small. */
  private final int fullRank;

  /** Rows needed there. */
  private final long needed;

  /** Rows that fit there. */
  private final long capacity;

  /**
   * Makes an exception.
   *
   * @param rank the rank that reports
   * @param operation the operation that failed
   * @param fullRank the rank whose region is too small
   * @param needed rows that were routed to it
   * @param capacity rows that it can hold
   */
  public EpCapacityException(int rank, String operation, int fullRank, long needed, long capacity) {
    super(
        Code.CAPACITY,
        rank,
        operation,
        "rank "
            + fullRank
            + " would receive "
            + needed
            + " rows, "
            + (needed - capacity)
            + " more than its capacity of "
            + capacity);
    this.fullRank = fullRank;
    this.needed = needed;
    this.capacity = capacity;
  }

  /**
   * The rank whose region is too small.
   *
   * @return the rank
   */
  public int fullRank() {
    return fullRank;
  }

  /**
   * Rows that were routed to {@link #fullRank()}.
   *
   * @return the rows, padding included
   */
  public long needed() {
    return needed;
  }

  /**
   * Rows that {@link #fullRank()} can hold.
   *
   * @return the rows
   */
  public long capacity() {
    return capacity;
  }
}
