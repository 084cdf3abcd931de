package io.github.deepep4j.group;

/**
 * The members of an expert-parallel group and small collective exchanges between them, used to
 * create buffers and for a training loop's own small reductions; never for dispatch and combine.
 *
 * <p>Every rank holds its own instance. {@link #allGather} and {@link #barrier} are collective and
 * blocking: every rank calls them in the same order. An instance is used by one thread at a time;
 * {@link #abort} and {@link #close} may be called from any thread.
 *
 * <p>Implementations: {@link LocalGroup} (threads of one JVM), {@link TcpGroup} (processes), or an
 * adapter of the user's launcher.
 */
public interface ProcessGroup extends AutoCloseable {
  /**
   * This member's index.
   *
   * @return the rank, from 0 to {@link #size()} − 1
   */
  int rank();

  /**
   * Number of members.
   *
   * @return n ≥ 1
   */
  int size();

  /**
   * Gives every rank the bytes of every rank. Collective and blocking, bounded by the group's
   * deadline.
   *
   * @param bytes this rank's contribution; lengths may differ between ranks; copied
   * @return one array per rank, by rank; the caller may change them
   * @throws IllegalArgumentException if {@code bytes} is longer than the group's largest message
   * @throws IllegalStateException if the group is closed
   * @throws io.github.deepep4j.error.EpTimeoutException if a rank did not come before the deadline
   * @throws io.github.deepep4j.error.EpException if the group was aborted or broke, or the thread
   *     was interrupted
   */
  byte[][] allGather(byte[] bytes);

  /**
   * Returns when every rank has called it. Collective and blocking, bounded by the group's
   * deadline.
   *
   * @throws IllegalStateException if the group is closed
   * @throws io.github.deepep4j.error.EpTimeoutException if a rank did not come before the deadline
   * @throws io.github.deepep4j.error.EpException if the group was aborted or broke, or the thread
   *     was interrupted
   */
  default void barrier() {
    allGather(new byte[0]);
  }

  /**
   * Ends the group for every rank: waits in progress and later calls throw {@link
   * io.github.deepep4j.error.EpException} with this reason. Local and non-blocking; a second call
   * does nothing.
   *
   * @param reason what happened, for the other ranks' messages
   */
  void abort(String reason);

  /** Leaves the group. Local, idempotent, non-blocking; ranks that still wait for this one fail. */
  @Override
  void close();
}
