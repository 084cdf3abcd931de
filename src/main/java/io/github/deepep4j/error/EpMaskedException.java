package io.github.deepep4j.error;

/** A rank that another one has masked has called, or waits in a call. Others go on without it. */
public final class EpMaskedException extends EpException {
  private static final long serialVersionUID = 1L;

  /** Who is masked. */
  private final int maskedRank;

  /** Who masked it. */
  private final int maskedBy;

  /**
   * Makes an exception.
   *
   * @param rank the rank that reports
   * @param operation the operation that failed
   * @param maskedRank the masked rank
   * @param maskedBy the rank that masked it
   */
  public EpMaskedException(int rank, String operation, int maskedRank, int maskedBy) {
    super(
        Code.MASKED,
        rank,
        operation,
        "rank "
            + maskedRank
            + " was masked by rank "
            + maskedBy
            + "; unmask("
            + maskedRank
            + ") on it and on all unmasked ranks brings it back");
    this.maskedRank = maskedRank;
    this.maskedBy = maskedBy;
  }

  /**
   * The masked rank.
   *
   * @return the rank
   */
  public int maskedRank() {
    return maskedRank;
  }

  /**
   * The rank that masked it.
   *
   * @return the rank
   */
  public int maskedBy() {
    return maskedBy;
  }
}
