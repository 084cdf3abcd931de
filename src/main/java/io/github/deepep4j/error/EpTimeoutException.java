package io.github.deepep4j.error;

/**
 * A wait on another rank passed its deadline, here or on the rank that gave up first. The same
 * culprit is reported on every rank, because a rank that gives up tells its peers whom it waited
 * for.
 */
public final class EpTimeoutException extends EpException {
  private static final long serialVersionUID = 1L;

  /** Rank that gave up first. */
  private final int origin;

  /** Rank that did not answer. */
  private final int culprit;

  /** What was waited for. */
  private final String stage;

  /**
   * Makes an exception.
   *
   * @param rank the rank that reports
   * @param operation the operation that failed
   * @param origin the rank whose wait passed the deadline first
   * @param culprit the rank it waited for
   * @param stage what it waited for, such as {@code counts} or {@code arrival}
   * @param detail expected and seen values, and the time waited
   */
  public EpTimeoutException(
      int rank, String operation, int origin, int culprit, String stage, String detail) {
    super(
        Code.TIMEOUT,
        rank,
        operation,
        "rank " + culprit + " did not answer rank " + origin + " (" + stage + "): " + detail);
    this.origin = origin;
    this.culprit = culprit;
    this.stage = stage;
  }

  /**
   * The rank whose wait passed its deadline first.
   *
   * @return the origin
   */
  public int origin() {
    return origin;
  }

  /**
   * The rank that did not answer.
   *
   * @return the culprit
   */
  public int culprit() {
    return culprit;
  }

  /**
   * What the origin waited for.
   *
   * @return the stage
   */
  public String stage() {
    return stage;
  }
}
