package io.github.deepep4j.internal.backend;

import io.github.deepep4j.Event;
import io.github.deepep4j.Stream;
import org.jspecify.annotations.Nullable;

/** An operation whose sends are issued, and then its result. */
public interface PendingResult {
  /** Runs the receiving half if it has not run. */
  void receive();

  /** Whether the receiving half has run. */
  boolean isReceived();

  /** Marks the end of the operation's work. */
  Event event();

  /** Gives the region back once readers enqueued on the stream have finished. Idempotent. */
  void close(@Nullable Stream stream);

  /** Closes without receiving, because its call or its buffer has come to an end. Idempotent. */
  void discard();

  /** Whether it was closed. */
  boolean isClosed();

  /** The call, for messages. */
  String describe();
}
