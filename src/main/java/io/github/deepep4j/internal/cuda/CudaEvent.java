package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.backend.DeviceEvent;
import io.github.deepep4j.tensor.Device;

/** The end of one call's work. */
final class CudaEvent implements DeviceEvent {
  private final CudaRank rank;
  private final long mark;
  private final String operation;
  private final long ordinal;

  /**
   * Makes the event of a mark.
   *
   * @param rank this rank
   * @param mark of the end of the work
   * @param operation that did it
   * @param ordinal number of the collective call; 0 for local work
   */
  CudaEvent(CudaRank rank, long mark, String operation, long ordinal) {
    this.rank = rank;
    this.mark = mark;
    this.operation = operation;
    this.ordinal = ordinal;
  }

  @Override
  public Device device() {
    return rank.device;
  }

  @Override
  public long handle() {
    return rank.streams.events().handle(mark);
  }

  /** Throws if the work has ended without doing what its call was for. */
  @Override
  public boolean isComplete() {
    boolean complete = rank.streams.events().isComplete(mark);
    if (complete) {
      rank.faults.checkDelivered(ordinal, operation);
    }
    return complete;
  }

  @Override
  public void synchronize() {
    Backoff backoff = new Backoff(rank.options.tuning());
    while (!isComplete()) {
      if (!backoff.pause()) {
        throw new EpException(
            EpException.Code.INTERRUPTED,
            rank.rank,
            operation,
            "the thread was interrupted while it waited for the event");
      }
    }
    rank.faults.check(operation);
  }
}
