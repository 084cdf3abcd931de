package io.github.deepep4j;

/** What a buffer does when a wait on another rank passes its deadline. */
public enum TimeoutPolicy {
  /**
   * Throw {@link io.github.deepep4j.error.EpTimeoutException} on every rank, naming the same
   * culprit; the buffer has failed and later calls throw the same.
   */
  THROW,
  /** Mask the silent rank and go on without it. */
  MASK
}
