package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.memory.OffHeap;
import org.jspecify.annotations.Nullable;

/**
 * The typed messages between ranks. Each has exactly one publish and one reader: the data is
 * stored, then the tag by a release store; the reader loads the tag with acquire and then the data.
 * A tag is an epoch or ordinal that only grows, so nothing is ever zeroed.
 */
@SuppressWarnings("EnumOrdinal") // words between ranks, which all run this same version
final class Messages {
  private static final int EXPERTS_OF_COUNTS = 64;
  private static final int EXPERTS_OF_GRANT = 128;
  private static final int EXPERTS_OF_LANDED = 64;

  private final Peers peers;
  private final ControlLayout control;
  private final int localExperts;

  Messages(Peers peers, ControlLayout control, int localExperts) {
    this.peers = peers;
    this.control = control;
    this.localExperts = localExperts;
  }

  /**
   * Names one normal-mode dispatch, counted or cached.
   *
   * @param epoch of the call: the tag of its messages
   * @param ordinal among the dispatches: the turn of its records
   */
  record DispatchId(long epoch, long ordinal) {}

  /**
   * What a source has for this rank.
   *
   * @param rows rows, in the call's order
   * @param perExpert choices of each local expert
   * @param refusal why its routing is refused, or null
   */
  record Counts(int rows, int[] perExpert, RoutingPlan.@Nullable Refusal refusal) {}

  /** What a destination says to a source. */
  enum Verdict {
    /** Write your rows there. */
    GRANTED,
    /** More rows would arrive than fit. */
    OVERFLOW,
    /** Some rank's routing is refused. */
    REFUSED
  }

  /**
   * A destination's answer to a source.
   *
   * @param verdict what it says
   * @param region slot of the region
   * @param offset of the region in the destination's window
   * @param rows C of the region's layout
   * @param base rank-major: first row of the source
   * @param expertBase expert-major: first row of the source per local expert
   * @param needed rows that would arrive, on overflow
   * @param capacity rows that fit, on overflow
   * @param origin rank whose routing is refused
   * @param refusal why
   */
  record Grant(
      Verdict verdict,
      int region,
      long offset,
      long rows,
      int base,
      int[] expertBase,
      long needed,
      long capacity,
      int origin,
      RoutingPlan.@Nullable Refusal refusal) {
    static Grant granted(RegionPool.Lease lease, long rows, int base, int[] expertBase) {
      return new Grant(
          Verdict.GRANTED, lease.slot, lease.offset, rows, base, expertBase, 0, 0, -1, null);
    }

    static Grant overflow(long needed, long capacity) {
      return new Grant(Verdict.OVERFLOW, 0, 0, 0, 0, new int[0], needed, capacity, -1, null);
    }

    static Grant refused(int origin, RoutingPlan.Refusal refusal) {
      return new Grant(Verdict.REFUSED, 0, 0, 0, 0, new int[0], 0, 0, origin, refusal);
    }
  }

  void publishCall(int peer, long epoch, CallDescriptor call) {
    long record = peers.at(peer, control.call(epoch, peers.rank));
    call.write(record + 8);
    OffHeap.putLongRelease(record, epoch);
  }

  /** Newest epoch in the record that the call of this epoch uses. */
  long calledEpoch(int peer, long epoch) {
    return OffHeap.getLongAcquire(peers.own(control.call(epoch, peer)));
  }

  /** Whether a peer announced this very call. */
  boolean isCall(int peer, long epoch, CallDescriptor call) {
    return call.isAt(peers.own(control.call(epoch, peer)) + 8);
  }

  CallDescriptor readCall(int peer, long epoch) {
    return CallDescriptor.read(peers.own(control.call(epoch, peer)) + 8);
  }

  void publishCounts(int peer, DispatchId id, RoutingPlan plan, int rows) {
    long record = peers.at(peer, control.counts(id.ordinal(), peers.rank));
    writeRefusal(record + 8, plan.refusal);
    OffHeap.putLong(record + 32, rows);
    for (int i = 0; i < localExperts; i++) {
      OffHeap.putInt(
          record + EXPERTS_OF_COUNTS + 4L * i, plan.tokensPerExpert[peer * localExperts + i]);
    }
    OffHeap.putLongRelease(record, id.epoch());
  }

  boolean hasCounts(int peer, DispatchId id) {
    return OffHeap.getLongAcquire(peers.own(control.counts(id.ordinal(), peer))) == id.epoch();
  }

  Counts readCounts(int peer, DispatchId id) {
    long record = peers.own(control.counts(id.ordinal(), peer));
    return new Counts(
        (int) OffHeap.getLong(record + 32),
        readInts(record + EXPERTS_OF_COUNTS),
        readRefusal(record + 8));
  }

  void publishGrant(int peer, DispatchId id, Grant grant) {
    long record = peers.at(peer, control.grant(id.ordinal(), peers.rank));
    OffHeap.putLong(record + 8, grant.verdict().ordinal());
    OffHeap.putLong(record + 16, grant.region());
    OffHeap.putLong(record + 24, grant.offset());
    OffHeap.putLong(record + 32, grant.rows());
    OffHeap.putLong(record + 40, grant.base());
    OffHeap.putLong(record + 48, grant.needed());
    OffHeap.putLong(record + 56, grant.capacity());
    OffHeap.putLong(record + 64, grant.origin());
    writeRefusal(record + 72, grant.refusal());
    int[] bases = grant.expertBase();
    OffHeap.copyFromArray(bases, 0, record + EXPERTS_OF_GRANT, bases.length);
    OffHeap.putLongRelease(record, id.epoch());
  }

  boolean hasGrant(int peer, DispatchId id) {
    return OffHeap.getLongAcquire(peers.own(control.grant(id.ordinal(), peer))) == id.epoch();
  }

  Grant readGrant(int peer, DispatchId id) {
    long record = peers.own(control.grant(id.ordinal(), peer));
    return new Grant(
        Verdict.values()[(int) OffHeap.getLong(record + 8)],
        (int) OffHeap.getLong(record + 16),
        OffHeap.getLong(record + 24),
        OffHeap.getLong(record + 32),
        (int) OffHeap.getLong(record + 40),
        readInts(record + EXPERTS_OF_GRANT),
        OffHeap.getLong(record + 48),
        OffHeap.getLong(record + 56),
        (int) OffHeap.getLong(record + 64),
        readRefusal(record + 72));
  }

  /**
   * Says that this rank is done with a region.
   *
   * @param dropped whether it has sent no row because the call was dropped
   */
  void publishArrival(int peer, int region, long epoch, boolean dropped) {
    OffHeap.putLongRelease(
        peers.at(peer, control.arrived(region, peers.rank)), epoch << 1 | (dropped ? 1 : 0));
  }

  boolean hasArrived(int peer, int region, long epoch) {
    return arrival(peer, region) >>> 1 == epoch;
  }

  /** Whether a peer that is done with a region has sent no row. */
  boolean hasDropped(int peer, int region) {
    return (arrival(peer, region) & 1) != 0;
  }

  private long arrival(int peer, int region) {
    return OffHeap.getLongAcquire(peers.own(control.arrived(region, peer)));
  }

  /** Where a rank's expert outputs lie, from the start of its window. */
  record Ready(long x, long ranges, long weights, long begins) {}

  void publishReady(int peer, int output, long epoch, Ready ready) {
    long record = peers.at(peer, control.ready(output, peers.rank));
    OffHeap.putLong(record + 8, ready.x());
    OffHeap.putLong(record + 16, ready.ranges());
    OffHeap.putLong(record + 24, ready.weights());
    OffHeap.putLong(record + 32, ready.begins());
    OffHeap.putLongRelease(record, epoch);
  }

  /** Output slot in which a peer published this epoch's outputs, or −1. */
  int readyOutput(int peer, int firstOutput, int endOutput, long epoch) {
    for (int output = firstOutput; output < endOutput; output++) {
      if (OffHeap.getLongAcquire(peers.own(control.ready(output, peer))) == epoch) {
        return output;
      }
    }
    return -1;
  }

  Ready readReady(int peer, int output) {
    long record = peers.own(control.ready(output, peer));
    return new Ready(
        OffHeap.getLong(record + 8),
        OffHeap.getLong(record + 16),
        OffHeap.getLong(record + 24),
        OffHeap.getLong(record + 32));
  }

  void publishRead(int peer, int output, long epoch) {
    OffHeap.putLongRelease(peers.at(peer, control.read(output, peers.rank)), epoch);
  }

  boolean hasRead(int peer, int output, long epoch) {
    return OffHeap.getLongAcquire(peers.own(control.read(output, peer))) >= epoch;
  }

  /** A region for the low-latency dispatch with this ordinal; tags are ordinal + 1. */
  void publishCredit(int peer, long ordinal, int region, long offset) {
    long record = peers.at(peer, control.credit(ordinal, peers.rank));
    OffHeap.putLong(record + 8, region);
    OffHeap.putLong(record + 16, offset);
    OffHeap.putLongRelease(record, ordinal + 1);
  }

  boolean hasCredit(int peer, long ordinal) {
    return OffHeap.getLongAcquire(peers.own(control.credit(ordinal, peer))) == ordinal + 1;
  }

  int creditRegion(int peer, long ordinal) {
    return (int) OffHeap.getLong(peers.own(control.credit(ordinal, peer)) + 8);
  }

  long creditOffset(int peer, long ordinal) {
    return OffHeap.getLong(peers.own(control.credit(ordinal, peer)) + 16);
  }

  void publishLanded(int peer, int region, long ordinal, RoutingPlan plan) {
    long record = peers.at(peer, control.landed(region, peers.rank));
    writeRefusal(record + 8, plan.refusal);
    for (int i = 0; i < localExperts; i++) {
      OffHeap.putInt(
          record + EXPERTS_OF_LANDED + 4L * i, plan.tokensPerExpert[peer * localExperts + i]);
    }
    OffHeap.putLongRelease(record, ordinal + 1);
  }

  boolean hasLanded(int peer, int region, long ordinal) {
    return OffHeap.getLongAcquire(peers.own(control.landed(region, peer))) == ordinal + 1;
  }

  Counts readLanded(int peer, int region) {
    long record = peers.own(control.landed(region, peer));
    return new Counts(0, readInts(record + EXPERTS_OF_LANDED), readRefusal(record + 8));
  }

  private int[] readInts(long address) {
    int[] values = new int[localExperts];
    OffHeap.copyToArray(address, values, 0, values.length);
    return values;
  }

  private static void writeRefusal(long address, RoutingPlan.@Nullable Refusal refusal) {
    OffHeap.putLong(address, refusal == null ? 0 : refusal.rule());
    if (refusal != null) {
      OffHeap.putLong(address + 8, refusal.token());
      OffHeap.putLong(address + 16, refusal.value());
    }
  }

  private static RoutingPlan.@Nullable Refusal readRefusal(long address) {
    int rule = (int) OffHeap.getLong(address);
    return rule == 0
        ? null
        : new RoutingPlan.Refusal(
            (int) OffHeap.getLong(address + 8), OffHeap.getLong(address + 16), rule);
  }
}
