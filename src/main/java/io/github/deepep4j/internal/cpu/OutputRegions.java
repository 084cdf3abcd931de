package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Regions for expert outputs of one mode: handed out to be filled in place, or filled by staging;
 * published; and taken back when every reader has finished.
 */
final class OutputRegions {
  private final RankContext context;
  private final RegionPool pool;

  /** Index of this mode's first slot among the ready and read words. */
  private final int firstSlot;

  private final int slots;

  /** Whether regions are of one arena with the dispatches'. */
  private final boolean arena;

  private final List<HandedOut> handedOut = new ArrayList<>();
  private final List<Entered> unreceived = new ArrayList<>();
  private long combines;

  /**
   * A region that the caller fills.
   *
   * @param lease the region
   * @param rows its first row
   * @param handle the dispatch it is for
   */
  private record HandedOut(RegionPool.Lease lease, Tensor rows, CpuHandleId handle) {}

  /**
   * A combine whose peers' outputs may still have to be read here.
   *
   * @param number among the combines of this mode
   * @param result what reads them
   */
  private record Entered(long number, PendingCombine result) {}

  OutputRegions(RankContext context, RegionPool pool, int firstSlot, int slots, boolean arena) {
    this.context = context;
    this.pool = pool;
    this.firstSlot = firstSlot;
    this.slots = slots;
    this.arena = arena;
  }

  /**
   * Refuses a combine that could only wait for this rank's own results.
   *
   * @throws IllegalStateException if every region is open here
   */
  void requireFree(String holder) {
    discardUnused();
    if (pool.isAllOpen()) {
      throw pool.noneFree(holder);
    }
  }

  /**
   * Receives the combines that may not stay open any longer. A peer has a region for the coming
   * combine for certain only if every rank has read the outputs of the one that came as many calls
   * earlier as there are regions. Without this, ranks that leave different hooks open would wait
   * for each other for ever. In an arena any outputs may be what fills it, so none stay unread.
   */
  void receiveOverdue() {
    long newest = arena ? combines : combines - slots;
    unreceived.removeIf(entered -> entered.result().isReceived() || entered.result().isClosed());
    for (Entered entered : List.copyOf(unreceived)) {
      if (entered.number() <= newest) {
        entered.result().receive();
      }
    }
  }

  /** Remembers a combine that was entered. */
  void track(PendingCombine result) {
    unreceived.add(new Entered(combines++, result));
  }

  /**
   * Takes a region. If none is free, waits until the last reader elsewhere has finished with one
   * whose combine was received here: the oldest, which every peer reads before it enters the coming
   * combine, or another one, as readers may receive in any order. In an arena all of them are
   * waited for, so that what fits, and where, does not depend on who is fast. Regions of results
   * still open here are not waited for, because their readers may depend on this rank.
   *
   * @throws IllegalStateException if every region is open here, or an arena has no room
   */
  RegionPool.Lease take(String holder, long bytes) {
    context.waits.startStage();
    pool.settle();
    for (RegionPool.Lease draining = pool.oldestDraining(); arena && draining != null; ) {
      awaitReader(draining);
      draining = pool.oldestDraining();
    }
    while (true) {
      RegionPool.Lease lease = pool.tryOpen(holder);
      if (lease != null) {
        if (pool.place(lease, bytes)) {
          return lease;
        }
        pool.close(lease);
      }
      RegionPool.Lease draining = pool.oldestDraining();
      if (draining == null) {
        throw lease == null
            ? pool.noneFree(holder)
            : new IllegalStateException(
                "no room for the "
                    + bytes
                    + " bytes of "
                    + holder
                    + ": at most "
                    + pool.largest()
                    + " are free beside the open results");
      }
      awaitReader(draining);
    }
  }

  /** Waits until some region is free, or the peer that was waited for is masked. */
  private void awaitReader(RegionPool.Lease draining) {
    int reader = draining.pending.nextSetBit(0);
    context.waits.await(reader, Stage.READERS, pool::settle);
  }

  /** Hands out a region to be filled in place. */
  Tensor handOut(CpuHandleId handle, OutputLayout layout, long... shape) {
    String holder = "input for the combine of " + handle.describe();
    requireFree(holder);
    receiveOverdue();
    RegionPool.Lease lease = take(holder, layout.bytes());
    Tensor rows = context.tensor(lease, layout.x(), DType.BF16, shape);
    handedOut.add(new HandedOut(lease, rows, handle));
    return rows;
  }

  /** The region that a tensor was handed out from, for the same dispatch; null if there is none. */
  RegionPool.@Nullable Lease reclaim(Tensor rows, long handleId) {
    for (HandedOut out : handedOut) {
      if (out.rows().address() == rows.address()
          && out.rows().byteSize() >= rows.byteSize()
          && out.handle().id() == handleId) {
        handedOut.remove(out);
        return out.lease();
      }
    }
    return null;
  }

  /** Takes back what was handed out for a dispatch whose handle was closed without a combine. */
  private void discardUnused() {
    handedOut.removeIf(
        out -> {
          if (out.handle().isClosed()) {
            pool.close(out.lease());
          }
          return out.handle().isClosed();
        });
  }

  /** Tells every unmasked peer where this rank's outputs lie; all of them are readers from now. */
  void publish(RegionPool.Lease lease, long epoch, OutputLayout layout) {
    lease.tag = epoch;
    Messages.Ready ready =
        new Messages.Ready(
            lease.offset + layout.x(),
            lease.offset + layout.ranges(),
            lease.offset + layout.weights(),
            lease.offset + layout.begins());
    for (int peer = 0; peer < context.numRanks; peer++) {
      if (!context.peers.isMasked(peer)) {
        lease.pending.set(peer);
        context.messages.publishReady(peer, firstSlot + lease.slot, epoch, ready);
      }
    }
  }

  /** Slot in which a peer published this epoch's outputs, or −1. */
  int readySlot(int peer, long epoch) {
    return context.messages.readyOutput(peer, firstSlot, firstSlot + slots, epoch);
  }

  /** This rank's own combine has been received: its region is free once the others have read. */
  void release(RegionPool.Lease lease) {
    pool.close(lease);
  }

  List<RegionPool.Lease> open() {
    return pool.openLeases();
  }
}
