package io.github.deepep4j.internal.cuda;

/** What the host of a rank knows of the ranks whose memory its device reaches. */
interface Peers {
  /**
   * Where in an owner's memory a writer says what it does in an unmask.
   *
   * @throws IllegalStateException if these ranks' hosts share no memory
   */
  long join(int owner, int writer);

  /** Whether a peer has disconnected or its process has ended: it writes nowhere any more. */
  boolean isGone(int peer);

  /** Bytes of closed buffers of this process that could not be freed. */
  long abandonedBytes();

  /** Says that this rank has disconnected, and frees its window or sees to it that it is freed. */
  void close();
}
