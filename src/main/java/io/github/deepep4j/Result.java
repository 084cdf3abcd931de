package io.github.deepep4j;

import io.github.deepep4j.internal.backend.PendingResult;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * What the results of all four operations share: the hook, the event and the end. Valid until
 * closed; accessors that need data run the receiving half first.
 */
abstract sealed class Result implements ReceiveHook, AutoCloseable
    permits DispatchResult, CombineResult, LowLatencyDispatch, LowLatencyCombine {
  private final Buffer buffer;
  private final PendingResult pending;

  Result(Buffer buffer, PendingResult pending) {
    this.buffer = buffer;
    this.pending = pending;
  }

  @Override
  public void receive() {
    requireOpen();
    if (!pending.isReceived()) {
      buffer.exclusively(
          "receive",
          () -> {
            pending.receive();
            return this;
          });
    }
  }

  @Override
  public boolean isReceived() {
    return pending.isReceived();
  }

  /**
   * Marks the end of the operation's work on its stream.
   *
   * @return the event; complete on the CPU backend
   */
  public Event event() {
    return pending.event();
  }

  /**
   * Whether the result was closed.
   *
   * @return true after {@link #close()}
   */
  public boolean isClosed() {
    return pending.isClosed();
  }

  /**
   * Gives the result's memory back: for work of the buffer's stream. Receives first if nobody has.
   * Local, idempotent; may block as {@link #receive()} does.
   */
  @Override
  public void close() {
    close(null);
  }

  /**
   * Gives the result's memory back once the readers enqueued on a stream so far have finished.
   * Receives first if nobody has. Idempotent.
   *
   * @param readers the stream that last reads the result; null for the buffer's own
   */
  public void close(@Nullable Stream readers) {
    if (pending.isClosed() || buffer.isClosed()) {
      return;
    }
    buffer.exclusively(
        "close of " + pending.describe(),
        () -> {
          pending.close(readers);
          return this;
        });
  }

  /** Data that exists only after the receiving half. */
  final <T> T received(Supplier<T> data) {
    receive();
    return data.get();
  }

  final void requireOpen() {
    if (buffer.isClosed()) {
      throw new IllegalStateException("the buffer of " + pending.describe() + " is closed");
    }
    if (pending.isClosed()) {
      throw new IllegalStateException(pending.describe() + " is closed");
    }
  }

  final <T> T present(@Nullable T value, String what) {
    if (value == null) {
      throw new IllegalStateException(pending.describe() + " has no " + what);
    }
    return value;
  }
}
