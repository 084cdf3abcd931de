package io.github.deepep4j.internal.memory;

/** All ranks' windows as one rank holds them. */
interface WindowSource {
  /**
   * Where a rank's window starts for this rank.
   *
   * @param rank the window's owner
   * @return the address
   */
  long address(int rank);

  /** Lets go of all windows. Idempotent, never waits, any thread. */
  void close();
}
