package io.github.deepep4j.internal.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Places in an arena, against one bit per line. */
final class CudaArenaTest {
  private static final int LINES = 200;

  private final BitSet used = new BitSet(LINES);

  private void use(CudaArena.Place place) {
    assertThat(place.offset() % CudaArena.LINE).isZero();
    assertThat(place.bytes() % CudaArena.LINE).isZero();
    for (int line = first(place); line < end(place); line++) {
      assertThat(used.get(line)).as("line %d of %s", line, place).isFalse();
      used.set(line);
    }
    assertThat(end(place)).isLessThanOrEqualTo(LINES);
  }

  private void free(CudaArena.Place place) {
    used.clear(first(place), end(place));
  }

  private static int first(CudaArena.Place place) {
    return (int) (place.offset() / CudaArena.LINE);
  }

  private static int end(CudaArena.Place place) {
    return (int) ((place.offset() + place.bytes()) / CudaArena.LINE);
  }

  /** Lines of the longest free range. */
  private int longest() {
    int longest = 0;
    for (int line = used.nextClearBit(0); line < LINES; line = used.nextClearBit(line)) {
      int next = used.nextSetBit(line);
      int end = next < 0 ? LINES : next;
      longest = Math.max(longest, end - line);
      line = end;
    }
    return longest;
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldNeverOverlapAndNeverLoseALine_whenUsedAtRandom(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    CudaArena arena = new CudaArena(LINES * CudaArena.LINE - 5);
    List<CudaArena.Place> held = new ArrayList<>();
    for (int i = 0; i < 3000; i++) {
      assertThat(arena.largest()).isEqualTo(longest() * CudaArena.LINE);
      switch (random.nextInt(3)) {
        case 0 -> {
          long bytes = random.nextInt(40 * (int) CudaArena.LINE);
          CudaArena.Place place = arena.take(bytes);
          if (place == null) {
            assertThat(bytes).isGreaterThan(longest() * CudaArena.LINE);
          } else {
            assertThat(place.bytes()).isGreaterThanOrEqualTo(bytes);
            use(place);
            held.add(place);
          }
        }
        case 1 -> {
          CudaArena.Place largest = arena.takeLargest();
          assertThat(largest.bytes()).isEqualTo(longest() * CudaArena.LINE);
          use(largest);
          long kept = largest.bytes() == 0 ? 0 : random.nextLong(largest.bytes() + 1);
          CudaArena.Place place = arena.shrink(largest, kept);
          assertThat(place.offset()).isEqualTo(largest.offset());
          assertThat(place.bytes()).isGreaterThanOrEqualTo(kept);
          free(largest);
          use(place);
          held.add(place);
        }
        default -> {
          if (!held.isEmpty()) {
            CudaArena.Place place = held.remove(random.nextInt(held.size()));
            arena.give(place);
            free(place);
          }
        }
      }
    }
    held.forEach(arena::give);
    assertThat(arena.largest()).isEqualTo(LINES * CudaArena.LINE);
  }

  @Test
  void shouldSayWhatIsFree_whenOutputsFindNoRoom() {
    OutputSlots slots = new OutputSlots(3, new CudaArena(1024));
    slots.place(slots.take("combine #1"), 512);
    int second = slots.take("combine #2");
    assertThatThrownBy(() -> slots.place(second, 513))
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("no room for the 513 bytes of combine #2")
        .hasMessageContaining("at most 512 are free");
    slots.give(second);
    slots.give(0);
    assertThat(slots.place(slots.take("combine #3"), 1024).bytes()).isEqualTo(1024);
  }

  @Test
  void shouldKeepThePlace_whenAMaskedPeerMayStillWriteThere() {
    RegionSlots regions = new RegionSlots(2, new CudaArena(1024));
    int[] late = {0};
    regions.keepQuarantined(region -> region == late[0]);
    int first = regions.take("dispatch", 1);
    regions.place(first, 512);
    regions.give(first);
    int second = regions.take("dispatch", 2);
    assertThat(regions.placeLargest(second)).isEqualTo(new CudaArena.Place(512, 512));
    regions.give(second);
    late[0] = -1;
    int again = regions.take("dispatch", 3);
    assertThat(again).isEqualTo(first);
    assertThat(regions.placeLargest(again)).isEqualTo(new CudaArena.Place(0, 1024));
  }

  @Test
  void shouldGiveThePlaceBack_whenARegionIsGivenBack() {
    RegionSlots regions = new RegionSlots(2, new CudaArena(1000));
    int first = regions.take("dispatch", 1);
    assertThat(regions.placeLargest(first)).isEqualTo(new CudaArena.Place(0, 1024));
    regions.shrink(first, 300);
    int second = regions.take("cached dispatch", 2);
    assertThat(regions.place(second, 2000)).isEqualTo(new CudaArena.Place(384, 640));
    assertThat(regions.placeBytes(second)).isEqualTo(640);
    regions.give(first);
    int third = regions.take("dispatch", 3);
    assertThat(regions.place(third, 384)).isEqualTo(new CudaArena.Place(0, 384));
    regions.give(second);
    regions.give(third);
    int fourth = regions.take("dispatch", 4);
    assertThat(regions.placeLargest(fourth)).isEqualTo(new CudaArena.Place(0, 1024));
  }
}
