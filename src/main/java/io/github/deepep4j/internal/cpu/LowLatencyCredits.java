package io.github.deepep4j.internal.cpu;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.StringJoiner;
import org.jspecify.annotations.Nullable;

/**
 * The low-latency regions of a rank and the credits that it has given for them.
 *
 * <p>A sender may not wait for its destination to enter the call, so the destination says ahead of
 * time where it wants the rows of a future dispatch: a credit for the dispatch with ordinal j names
 * a region. As many credits are outstanding as regions are free; a region is credited again, to the
 * next ordinal, when its result is closed. So results may be closed in any order.
 *
 * <p>Every unmasked sender has then finished with the region, because a result is received before
 * it is closed. A masked one that is late only reaches its own slots ({@link LowLatencyLayout}),
 * which nobody reads while it is masked: so no region has to wait for it.
 *
 * <p>The ring of credits has twice as many entries as there are regions. An entry is overwritten by
 * ordinal j + 2R only when a region of a later ordinal than j has been closed, which every sender
 * of it has then left behind.
 */
final class LowLatencyCredits {
  private final RankContext context;
  private final int regions;
  private final int[] regionOfOrdinal;
  private final RegionPool.@Nullable Lease[] leases;
  private long nextCredit;
  private long nextCall;

  LowLatencyCredits(RankContext context) {
    this.context = context;
    this.regions = context.windowLayout.lowLatencyRegions();
    this.regionOfOrdinal = new int[Math.max(1, 2 * regions)];
    this.leases = new RegionPool.Lease[regions];
  }

  /** Gives the first credits. */
  void start() {
    for (int region = 0; region < regions; region++) {
      credit(region);
    }
  }

  /**
   * Goes on, after an unmask, from a later dispatch. Credits for dispatches that this rank has
   * missed are void; those that are still to be used are repeated to the ranks that were masked,
   * which have not got them all. What a peer may already read stays as it is.
   *
   * @param ordinal the next dispatch
   * @param returned ranks that were masked here
   */
  void moveTo(long ordinal, BitSet returned) {
    List<Integer> voided = new ArrayList<>();
    for (long missed = nextCall; missed < Math.min(nextCredit, ordinal); missed++) {
      voided.add(regionOf(missed));
    }
    nextCall = ordinal;
    nextCredit = Math.max(nextCredit, ordinal);
    for (long open = nextCall; open < nextCredit; open++) {
      for (int peer = returned.nextSetBit(0); peer >= 0; peer = returned.nextSetBit(peer + 1)) {
        context.messages.publishCredit(peer, open, regionOf(open), offset(regionOf(open)));
      }
    }
    voided.forEach(this::credit);
  }

  private int regionOf(long ordinal) {
    return regionOfOrdinal[Math.floorMod(ordinal, regionOfOrdinal.length)];
  }

  private void credit(int region) {
    regionOfOrdinal[Math.floorMod(nextCredit, regionOfOrdinal.length)] = region;
    for (int peer = 0; peer < context.numRanks; peer++) {
      if (!context.peers.isMasked(peer)) {
        context.messages.publishCredit(peer, nextCredit, region, offset(region));
      }
    }
    nextCredit++;
  }

  private long offset(int region) {
    return context.windowLayout.lowLatencyBase() + region * context.windowLayout.lowLatencyBytes();
  }

  /** Ordinal of the next low-latency dispatch. */
  long nextCall() {
    return nextCall;
  }

  /**
   * Takes the region that this rank has credited for the next dispatch.
   *
   * @throws IllegalStateException naming the open results, if there is none
   */
  RegionPool.Lease open(String holder) {
    if (nextCall == nextCredit) {
      throw new IllegalStateException(
          "no free low-latency dispatch region for "
              + holder
              + ": "
              + regions
              + " in use by "
              + holders());
    }
    int region = regionOf(nextCall);
    RegionPool.Lease lease = new RegionPool.Lease(region, holder);
    lease.offset = offset(region);
    lease.tag = nextCall++;
    leases[region] = lease;
    return lease;
  }

  /** Ends a result's use of its region, which is credited anew. */
  void close(RegionPool.Lease lease) {
    lease.end();
    leases[lease.slot] = null;
    credit(lease.slot);
  }

  /** Ends every lease, because the buffer closes. */
  void endAll() {
    openLeases().forEach(RegionPool.Lease::end);
  }

  List<RegionPool.Lease> openLeases() {
    List<RegionPool.Lease> open = new ArrayList<>();
    for (RegionPool.Lease lease : leases) {
      if (lease != null) {
        open.add(lease);
      }
    }
    return open;
  }

  private String holders() {
    StringJoiner names = new StringJoiner(", ");
    for (RegionPool.Lease lease : leases) {
      if (lease != null) {
        names.add(lease.holder);
      }
    }
    return names.toString();
  }
}
