package io.github.deepep4j;

/**
 * The second half of a dispatch or combine whose sends are under way. Between the two halves the
 * caller computes; over load/store peers the bytes have moved in the first half already.
 */
public interface ReceiveHook {
  /**
   * Completes the operation: waits for the peers' rows and makes the result readable. At most once,
   * from any thread, in any order among open hooks; a second call does nothing. Calls that need the
   * data do it if the caller has not. Not collective by itself: each rank receives when it likes.
   *
   * @throws io.github.deepep4j.error.EpException if a peer was silent, refused the call or called
   *     something else, as the operation's own Javadoc says
   * @throws IllegalStateException if the result or its buffer is closed
   */
  void receive();

  /**
   * Whether the second half has run.
   *
   * @return true after {@link #receive()}, or when the operation was called without a hook
   */
  boolean isReceived();
}
