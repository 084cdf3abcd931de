package io.github.deepep4j.internal.cuda;

import java.util.Objects;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;

/** Dispatch regions by number, and with an arena the place that each has for its present result. */
final class RegionSlots {
  private final SlotPool slots;
  private final @Nullable CudaArena arena;
  private final CudaArena.@Nullable Place[] places;
  private IntPredicate quarantined = region -> false;

  RegionSlots(int regions, @Nullable CudaArena arena) {
    this.slots = new SlotPool("dispatch region", regions);
    this.arena = arena;
    this.places = new CudaArena.Place[regions];
  }

  /** Whether regions have places that are chosen for each call. */
  boolean isArena() {
    return arena != null;
  }

  /**
   * Takes a region.
   *
   * @throws IllegalStateException if none is free, naming the calls that hold them
   */
  int take(String operation, long ordinal) {
    return slots.take(operation, ordinal);
  }

  /** How many regions there are. */
  int slots() {
    return places.length;
  }

  /** Regions that are taken. */
  int taken() {
    return slots.taken();
  }

  /**
   * From now on the place of a region that is given back stays with it while a masked peer may
   * still write there.
   *
   * @param test whether one may
   */
  void keepQuarantined(IntPredicate test) {
    quarantined = test;
  }

  /** Gives a region back, and its place unless a masked peer may still write there. */
  void give(int region) {
    if (!quarantined.test(region)) {
      givePlace(region);
    }
    slots.give(region);
  }

  private void givePlace(int region) {
    CudaArena.Place place = places[region];
    if (place != null) {
      places[region] = null;
      arena().give(place);
    }
  }

  /** Gives a taken region its place: the first that is large enough, else the largest. */
  CudaArena.Place place(int region, long bytes) {
    givePlace(region);
    CudaArena.Place place = arena().take(bytes);
    places[region] = place == null ? arena().takeLargest() : place;
    return Objects.requireNonNull(places[region]);
  }

  /** Gives a taken region the largest place. */
  CudaArena.Place placeLargest(int region) {
    givePlace(region);
    CudaArena.Place place = arena().takeLargest();
    places[region] = place;
    return place;
  }

  /** Bytes of a region's place. */
  long placeBytes(int region) {
    return Objects.requireNonNull(places[region]).bytes();
  }

  /** Gives back what a region's result does not need. */
  void shrink(int region, long bytes) {
    places[region] = arena().shrink(Objects.requireNonNull(places[region]), bytes);
  }

  private CudaArena arena() {
    return Objects.requireNonNull(arena, "regions have fixed places");
  }
}
