package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.BufferOptions;
import java.util.ArrayList;
import java.util.List;

/**
 * Low-latency regions by number, and which dispatches hold them.
 *
 * <p>Two rules keep the device's memory apart:
 *
 * <ul>
 *   <li>Inboxes are used in turn. Before a dispatch is entered, this rank receives its own one that
 *       had the same inbox, because the peers' sends into it wait for that.
 *   <li>A combine reads the routing that lies beside its dispatch's region when it is received. So
 *       a region whose result was closed before that stays taken until then; where no other region
 *       is free, the next dispatch has such combines received first.
 * </ul>
 *
 * <p>Used by the buffer's one user.
 */
final class LowLatencyRegions {
  private final SlotPool slots;
  private final int inboxes;

  /** Dispatches that may still have to be received, oldest first. */
  private final List<Entered> unreceived = new ArrayList<>();

  /** Closed results whose combines are not all received, oldest first. */
  private final List<CudaLowLatencyDispatch> lingering = new ArrayList<>();

  private long dispatches;

  /**
   * A dispatch whose receiving half may not be issued yet.
   *
   * @param number among the dispatches of this buffer
   * @param dispatch the result
   */
  private record Entered(long number, CudaLowLatencyDispatch dispatch) {}

  /**
   * Every region is free.
   *
   * @param options the buffer's
   */
  LowLatencyRegions(BufferOptions options) {
    slots = new SlotPool("low-latency dispatch region", options.lowLatencyRegions());
    inboxes = BufferSizes.numInboxes(options);
  }

  /**
   * Takes a region for the next dispatch.
   *
   * @throws IllegalStateException if none is free, naming the calls that hold them
   */
  int take(String operation, long ordinal) {
    receiveOverdue();
    while (slots.taken() == slots.slots() && !lingering.isEmpty()) {
      lingering.get(0).receiveCombines(); // gives its region back
    }
    return slots.take(operation, ordinal);
  }

  /** Receives the dispatch that had the next one's inbox. */
  private void receiveOverdue() {
    while (!unreceived.isEmpty()) {
      Entered oldest = unreceived.get(0);
      boolean done = oldest.dispatch().isReceived() || oldest.dispatch().isClosed();
      if (!done && oldest.number() > dispatches - inboxes) {
        return;
      }
      unreceived.remove(0);
      if (!done) {
        oldest.dispatch().receive();
      }
    }
  }

  /** A dispatch was entered. */
  void entered(CudaLowLatencyDispatch dispatch) {
    unreceived.add(new Entered(dispatches++, dispatch));
  }

  /** A result was closed, and a combine still reads what lies beside its region. */
  void linger(CudaLowLatencyDispatch dispatch) {
    lingering.add(dispatch);
  }

  /** Gives a region back. */
  void give(int region) {
    slots.give(region);
  }

  /** Gives back the region of a result that was closed before. */
  void endLingering(CudaLowLatencyDispatch dispatch, int region) {
    lingering.remove(dispatch);
    slots.give(region);
  }
}
