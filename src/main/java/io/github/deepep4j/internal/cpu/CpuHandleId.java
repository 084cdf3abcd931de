package io.github.deepep4j.internal.cpu;

/** What names a dispatch among the ranks and in messages. */
interface CpuHandleId {
  /** Epoch of the dispatch. */
  long id();

  /** The dispatch, for messages. */
  String describe();

  /** Whether the handle can be used no more. */
  boolean isClosed();
}
