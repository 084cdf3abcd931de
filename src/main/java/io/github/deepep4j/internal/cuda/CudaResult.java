package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.Event;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.PendingResult;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * What the results of all collective calls have in common: how far they are, and what that means.
 */
abstract class CudaResult implements PendingResult, Tensor.Lifetime {
  final CudaRank rank;

  /** Of the end of the last half that was issued. */
  long mark;

  boolean received;
  boolean closed;

  CudaResult(CudaRank rank) {
    this.rank = rank;
  }

  /** Name of the call. */
  abstract String operation();

  /** Number of the call. */
  abstract long ordinal();

  /** Stream of both halves. */
  abstract long stream();

  @Override
  public final boolean isReceived() {
    return received;
  }

  @Override
  public final boolean isClosed() {
    return closed;
  }

  @Override
  public final Event event() {
    return new CudaEvent(rank, mark, operation(), ordinal());
  }

  @Override
  public final String describe() {
    return operation() + " #" + ordinal();
  }

  @Override
  public final void checkOpen() {
    if (closed || rank.isClosed()) {
      throw new IllegalStateException("the tensor is of a closed result: " + describe());
    }
    checkDelivered();
  }

  /** Throws if the call has failed, and so did not deliver. */
  final void checkDelivered() {
    rank.faults.checkDelivered(ordinal(), operation());
  }

  /** Throws if a native call about this result has failed; only then makes the words for it. */
  final void require(int status, String doing) {
    if (status != Abi.OK) {
      rank.require(status, doing + describe());
    }
  }

  /** The result's readers: without a stream what the caller enqueued on the call's own. */
  final long readers(@Nullable Stream stream) {
    return stream == null ? stream() : stream.handle();
  }

  /** What comes after the readers on their stream comes after the call, too. */
  final void orderAfterCall(long readers) {
    if (readers != stream()) {
      rank.streams.events().makeWait(readers, mark);
    }
  }
}
