package io.github.deepep4j;

import io.github.deepep4j.internal.backend.BackendHandle;

/**
 * The immutable routing record of one normal-mode dispatch: what its combine and later cached
 * dispatches need. It owns its memory, outlives its result and is valid until {@link #close} or the
 * buffer's; a training step keeps it from forward to backward. Safe to share between threads,
 * though the calls that take it follow the buffer's rule of one thread at a time.
 */
public final class DispatchHandle implements AutoCloseable {
  private final Buffer buffer;
  private final BackendHandle backendHandle;

  DispatchHandle(Buffer buffer, BackendHandle backendHandle) {
    this.buffer = buffer;
    this.backendHandle = backendHandle;
  }

  /**
   * Tokens that this rank sent.
   *
   * @return T
   */
  public int numTokens() {
    return backendHandle.numTokens();
  }

  /**
   * Experts per token in the routing.
   *
   * @return K
   */
  public int numTopk() {
    return backendHandle.numTopk();
  }

  /**
   * Order of the rows that the dispatch delivered.
   *
   * @return the order
   */
  public RowOrder rowOrder() {
    return backendHandle.rowOrder();
  }

  /**
   * Whether the handle can be used no more.
   *
   * @return true after {@link #close()} of it or of its buffer
   */
  public boolean isClosed() {
    return backendHandle.isClosed() || buffer.isClosed();
  }

  /** Gives the handle's memory back. Local, idempotent, non-blocking. */
  @Override
  public void close() {
    backendHandle.close();
  }

  /** The backend's record, if this handle is usable on the buffer. */
  BackendHandle require(Buffer user, String operation) {
    if (user != buffer) {
      throw new IllegalArgumentException(operation + " was given a handle of another buffer");
    }
    if (user.isClosed()) {
      throw new IllegalStateException(operation + " on a closed buffer");
    }
    if (isClosed()) {
      throw new IllegalStateException(
          operation + " was given a closed handle (" + backendHandle.describe() + ")");
    }
    return backendHandle;
  }
}
