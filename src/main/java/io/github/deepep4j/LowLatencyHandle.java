package io.github.deepep4j;

import io.github.deepep4j.internal.backend.BackendHandle;

/**
 * The routing record of one low-latency dispatch, needed by its combine. It keeps a copy of the
 * routing of its own but lives only as long as its result: a closed or overtaken one is refused by
 * name.
 */
public final class LowLatencyHandle {
  private final Buffer buffer;
  private final BackendHandle backendHandle;

  LowLatencyHandle(Buffer buffer, BackendHandle backendHandle) {
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
   * Whether the handle can be used no more.
   *
   * @return true once its result or its buffer is closed
   */
  public boolean isClosed() {
    return backendHandle.isClosed() || buffer.isClosed();
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
          operation
              + " was given a handle whose result is closed ("
              + backendHandle.describe()
              + ")");
    }
    return backendHandle;
  }
}
