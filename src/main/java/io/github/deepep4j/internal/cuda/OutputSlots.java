package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.internal.backend.PendingResult;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.StringJoiner;
import org.jspecify.annotations.Nullable;

/**
 * Regions for expert outputs by number: who holds them, which are in callers' hands, and which
 * combines still have to be received here.
 *
 * <p>A slot is free again on this rank once its combine's receiving half was issued. Its memory is
 * written anew only after every reader elsewhere has finished, which the device waits for. So that
 * this wait always ends, two rules hold on every rank:
 *
 * <ul>
 *   <li>Before a rank enters a combine it receives those of its own that came as many combines
 *       earlier as there are slots, {@link #receiveOverdue}.
 *   <li>The free slot that was published longest ago is taken first. It is of a combine at least
 *       that old, so every peer reads it before it enters the coming one.
 * </ul>
 *
 * <p>Without them ranks that leave different hooks open would wait for each other for ever. Handing
 * out and giving back is thread-safe, because a handle is closed by any thread; combines are
 * entered and received by the buffer's one user.
 */
final class OutputSlots {
  private static final long NEVER = -1;

  private final @Nullable String[] holders;
  private final @Nullable CudaArena arena;

  /** With an arena: where a held slot's memory lies. */
  private final CudaArena.@Nullable Place[] places;

  /** Number of the combine that last published in a slot. */
  private final long[] published;

  private final List<HandedOut> handedOut = new ArrayList<>();

  /** Combines that may still have to be received, oldest first. */
  private final List<Entered> unreceived = new ArrayList<>();

  private long combines;

  /**
   * A slot in the caller's hands.
   *
   * @param slot its number
   * @param address where its rows begin
   * @param rowBytes of all rows
   * @param handle the dispatch whose combine it is for
   */
  private record HandedOut(int slot, long address, long rowBytes, Object handle) {}

  /**
   * A combine whose peers' outputs may still have to be read here.
   *
   * @param number among the combines of this buffer
   * @param result what reads them
   */
  private record Entered(long number, PendingResult result) {}

  /**
   * Every slot is free.
   *
   * @param slots how many
   * @param arena that they have their memory in; null for memory of their own
   */
  OutputSlots(int slots, @Nullable CudaArena arena) {
    this.arena = arena;
    places = new CudaArena.Place[slots];
    holders = new String[slots];
    published = new long[slots];
    Arrays.fill(published, NEVER);
  }

  /**
   * Refuses a call that wants a slot, before it has changed anything.
   *
   * @param wanted the call
   * @throws IllegalStateException if every slot is held here, naming the holders
   */
  synchronized void requireFree(String wanted) {
    if (longestFree() < 0) {
      StringJoiner names = new StringJoiner(", ");
      for (String holder : holders) {
        names.add(String.valueOf(holder));
      }
      throw new IllegalStateException(
          "no free expert output region for "
              + wanted
              + ": "
              + holders.length
              + " in use by "
              + names);
    }
  }

  /** Takes the free slot that was published longest ago; {@link #requireFree} came before. */
  synchronized int take(String holder) {
    requireFree(holder);
    int slot = longestFree();
    holders[slot] = holder;
    return slot;
  }

  private int longestFree() {
    int found = -1;
    for (int slot = 0; slot < holders.length; slot++) {
      if (holders[slot] == null && (found < 0 || published[slot] < published[found])) {
        found = slot;
      }
    }
    return found;
  }

  /**
   * The slot that {@link #take} would take, if every rank has certainly received the combine that
   * published there last: one that is older than the slots' number, where all ranks have called
   * {@link #receiveOverdue} since it came of that age.
   *
   * @return its number; −1 if there is none
   */
  synchronized int emptyOutput() {
    int slot = longestFree();
    boolean empty =
        slot >= 0 && (published[slot] == NEVER || published[slot] <= combines - holders.length);
    return empty ? slot : -1;
  }

  /** Gives a slot back, and its place. */
  synchronized void give(int slot) {
    CudaArena.Place place = places[slot];
    if (place != null && arena != null) {
      places[slot] = null;
      arena.give(place);
    }
    holders[slot] = null;
  }

  /** Whether slots have places that are chosen for each combine. */
  boolean isArena() {
    return arena != null;
  }

  /**
   * Gives a taken slot its place.
   *
   * @throws IllegalStateException if there is no room
   */
  synchronized CudaArena.Place place(int slot, long bytes) {
    CudaArena chosen = Objects.requireNonNull(arena, "slots have fixed places");
    CudaArena.Place place = chosen.take(bytes);
    if (place == null) {
      throw new IllegalStateException(
          "no room for the "
              + bytes
              + " bytes of "
              + holders[slot]
              + ": at most "
              + chosen.largest()
              + " are free beside the open results");
    }
    places[slot] = place;
    return place;
  }

  /**
   * Receives the combines that may not stay open when another call comes. Slots in the caller's
   * hands are none that a combine could take. In an arena none stays open: any outputs may be where
   * the next call's rows go.
   */
  void receiveOverdue() {
    long newest = arena == null ? combines - usable() : combines;
    while (!unreceived.isEmpty()) {
      Entered oldest = unreceived.get(0);
      boolean done = oldest.result().isReceived() || oldest.result().isClosed();
      if (!done && oldest.number() > newest) {
        return;
      }
      unreceived.remove(0);
      if (!done) {
        oldest.result().receive();
      }
    }
  }

  private synchronized int usable() {
    return holders.length - handedOut.size();
  }

  /** A combine was entered whose outputs lie in a slot. */
  synchronized void entered(int slot, PendingResult combine) {
    published[slot] = combines;
    unreceived.add(new Entered(combines++, combine));
  }

  /** Remembers that a taken slot is in the caller's hands. */
  synchronized void handOut(int slot, long address, long rowBytes, Object handle) {
    handedOut.add(new HandedOut(slot, address, rowBytes, handle));
  }

  /**
   * Takes a slot back for its combine.
   *
   * @return its number; −1 if the rows are not in one for that dispatch
   */
  synchronized int reclaim(long address, long rowBytes, Object handle) {
    for (int i = 0; i < handedOut.size(); i++) {
      HandedOut out = handedOut.get(i);
      if (out.address() == address && out.rowBytes() >= rowBytes && out.handle() == handle) {
        handedOut.remove(i);
        return out.slot();
      }
    }
    return -1;
  }

  /** Gives back what was handed out for a dispatch and never combined. */
  synchronized void discard(Object handle) {
    handedOut.removeIf(
        out -> {
          boolean ends = out.handle() == handle;
          if (ends) {
            give(out.slot());
          }
          return ends;
        });
  }
}
