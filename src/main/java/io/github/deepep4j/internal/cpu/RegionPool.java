package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.StringJoiner;
import org.jspecify.annotations.Nullable;

/**
 * Regions of one kind and who holds them. A slot is free, open (a result or expert outputs live in
 * it), or draining: closed here, while peers may still touch it. For a dispatch region these are
 * senders that were masked before their rows arrived (the quarantine); for expert outputs they are
 * the readers.
 */
final class RegionPool {
  private final String kind;
  private final Extents extents;
  private final @Nullable Lease[] slots;
  private final Settlement settlement;

  /** Whether a peer is done with a closed region. */
  interface Settlement {
    boolean isSettled(Lease lease, int peer);
  }

  /** One use of a slot. Its tensors ask it whether they may still be read. */
  static final class Lease implements Tensor.Lifetime {
    final int slot;
    final String holder;
    final BitSet pending = new BitSet();
    long offset = -1;
    long bytes;
    long tag;
    private boolean open = true;

    Lease(int slot, String holder) {
      this.slot = slot;
      this.holder = holder;
    }

    boolean isOpen() {
      return open;
    }

    void end() {
      open = false;
    }

    @Override
    public void checkOpen() {
      if (!open) {
        throw new IllegalStateException("the tensor is of a closed result: " + holder);
      }
    }
  }

  RegionPool(String kind, int slots, Extents extents, Settlement settlement) {
    this.kind = kind;
    this.extents = extents;
    this.slots = new Lease[slots];
    this.settlement = settlement;
  }

  /** Takes a slot, without memory yet; null if all are in use. */
  @Nullable Lease tryOpen(String holder) {
    settle();
    for (int slot = 0; slot < slots.length; slot++) {
      if (slots[slot] == null) {
        Lease lease = new Lease(slot, holder);
        slots[slot] = lease;
        return lease;
      }
    }
    return null;
  }

  /** Takes a slot or says who holds them. */
  Lease open(String holder) {
    Lease lease = tryOpen(holder);
    if (lease == null) {
      throw noneFree(holder);
    }
    return lease;
  }

  IllegalStateException noneFree(String wanted) {
    return new IllegalStateException(
        "no free "
            + kind
            + " region for "
            + wanted
            + ": "
            + slots.length
            + " in use by "
            + holders());
  }

  /** Gives a lease its memory; false if there is no room. */
  boolean place(Lease lease, long bytes) {
    long offset = extents.take(bytes);
    if (offset < 0) {
      return false;
    }
    lease.offset = offset;
    lease.bytes = bytes;
    return true;
  }

  /** Bytes that {@link #place} could give now. */
  long largest() {
    return extents.largest();
  }

  /** Ends a lease; the slot is free once nobody is pending. */
  void close(Lease lease) {
    lease.end();
    settle();
  }

  /** Ends every lease, because the buffer closes. */
  void endAll() {
    openLeases().forEach(Lease::end);
  }

  /** Forgets a peer that can touch nothing more. */
  void forget(int peer) {
    for (Lease lease : slots) {
      if (lease != null) {
        lease.pending.clear(peer);
      }
    }
    settle();
  }

  /** Of the closed leases that peers still use the one with the lowest tag, or null. */
  @Nullable Lease oldestDraining() {
    Lease oldest = null;
    for (Lease lease : slots) {
      if (lease != null && !lease.open && (oldest == null || lease.tag < oldest.tag)) {
        oldest = lease;
      }
    }
    return oldest;
  }

  /** Whether every slot is in use on this rank itself. */
  boolean isAllOpen() {
    for (Lease lease : slots) {
      if (lease == null || !lease.open) {
        return false;
      }
    }
    return true;
  }

  int draining() {
    settle();
    int count = 0;
    for (Lease lease : slots) {
      count += lease != null && !lease.open ? 1 : 0;
    }
    return count;
  }

  List<Lease> openLeases() {
    List<Lease> open = new ArrayList<>();
    for (Lease lease : slots) {
      if (lease != null && lease.open) {
        open.add(lease);
      }
    }
    return open;
  }

  /** Frees closed slots that nobody is pending on; true if there were any. */
  boolean settle() {
    boolean freed = false;
    for (int slot = 0; slot < slots.length; slot++) {
      Lease lease = slots[slot];
      if (lease != null && !lease.open && isSettled(lease)) {
        if (lease.offset >= 0) {
          extents.give(lease.offset, lease.bytes);
        }
        slots[slot] = null;
        freed = true;
      }
    }
    return freed;
  }

  private boolean isSettled(Lease lease) {
    for (int peer = lease.pending.nextSetBit(0); peer >= 0; ) {
      if (settlement.isSettled(lease, peer)) {
        lease.pending.clear(peer);
      }
      peer = lease.pending.nextSetBit(peer + 1);
    }
    return lease.pending.isEmpty();
  }

  private String holders() {
    StringJoiner names = new StringJoiner(", ");
    for (Lease lease : slots) {
      if (lease != null) {
        names.add(lease.open ? lease.holder : "peers that have not finished with " + lease.holder);
      }
    }
    return names.toString();
  }
}
