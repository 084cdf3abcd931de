package io.github.deepep4j;

/**
 * A point in a stream's work. On the CPU backend calls run on the calling thread, so their events
 * are complete when they are returned. Safe to use from any thread.
 */
public interface Event {
  /**
   * Whether the work before it has finished. Does not block.
   *
   * @return true once it has
   */
  boolean isComplete();

  /**
   * Blocks until the work before it has finished.
   *
   * @throws io.github.deepep4j.error.EpException if the work failed
   */
  void synchronize();

  /**
   * An event whose work has finished.
   *
   * @return the event
   */
  static Event completed() {
    return CompletedEvent.INSTANCE;
  }
}
