package io.github.deepep4j.internal.backend;

import io.github.deepep4j.RowOrder;

/** A backend's routing record of one dispatch. */
public interface BackendHandle extends AutoCloseable {
  /** Tokens that this rank sent. */
  int numTokens();

  /** Row width of the dispatch, in elements. */
  int hidden();

  /** Experts per token. */
  int numTopk();

  /** Order of the delivered rows; rank-major in name only for low-latency handles. */
  RowOrder rowOrder();

  /** Rows that the result's tensors have: received and padding ones, or the bounded form's. */
  int resultRows();

  /** Whether the dispatch had a bound instead of a count on the host. */
  boolean isBounded();

  /** Whether the dispatch kept gate weights, which {@code weighted()} needs. */
  boolean hasWeights();

  /** The call that made it, for messages. */
  String describe();

  /** Whether it was closed. */
  boolean isClosed();

  @Override
  void close();
}
