package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.backend.DeviceEvent;
import io.github.deepep4j.tensor.Device;

/** The end of one call's work. */
final class CudaEvent implements DeviceEvent {
  private final CudaRank rank;
  private final long mark;
  private final String operation;

  CudaEvent(CudaRank rank, long mark, String operation) {
    this.rank = rank;
    this.mark = mark;
    this.operation = operation;
  }

  @Override
  public Device device() {
    return rank.device;
  }

  @Override
  public long handle() {
    return rank.streams.events().handle(mark);
  }

  @Override
  public boolean isComplete() {
    return rank.streams.events().isComplete(mark);
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
