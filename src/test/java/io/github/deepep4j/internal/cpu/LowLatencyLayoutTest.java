package io.github.deepep4j.internal.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** The places of a low-latency region: none overlaps another, and all lie inside it. */
final class LowLatencyLayoutTest {
  private static final long LINE = 64;

  private record Part(String name, long begin, long end) {}

  private static LowLatencyLayout any(SplittableRandom random) {
    return new LowLatencyLayout(
        1 + random.nextInt(9),
        1 + random.nextInt(9),
        1 + random.nextInt(200),
        8 * (1 + random.nextInt(900)));
  }

  private static List<Part> parts(LowLatencyLayout layout) {
    long slots = layout.localExperts() * layout.rowsPerExpert();
    List<Part> parts = new ArrayList<>();
    add(parts, "x", layout.x(), slots * layout.slotBytes());
    add(parts, "wireScales", layout.wireScales(), slots * layout.scaleSlotBytes());
    add(parts, "origins", layout.origins(), slots * 4);
    add(parts, "scales", layout.scales(), slots * layout.scaleSlotBytes());
    add(parts, "sourceInfo", layout.sourceInfo(), slots * 4);
    add(parts, "layoutRange", layout.layoutRange(), 8L * layout.localExperts() * layout.numRanks());
    add(parts, "count", layout.count(), 4L * layout.localExperts());
    return parts;
  }

  private static void add(List<Part> parts, String name, long begin, long bytes) {
    if (bytes > 0) {
      parts.add(new Part(name, begin, begin + bytes));
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldFillTheRegionWithoutOverlap_whenAnyShape(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    for (int i = 0; i < 50; i++) {
      LowLatencyLayout layout = any(random);
      List<Part> parts = parts(layout);
      parts.sort(Comparator.comparingLong(Part::begin));
      long end = 0;
      for (Part part : parts) {
        assertThat(part.begin()).as("%s of %s", part, layout).isGreaterThanOrEqualTo(end);
        assertThat(part.begin() - end).as("gap before %s of %s", part, layout).isLessThan(LINE);
        assertThat(part.begin() % LINE).as("alignment of %s", part).isZero();
        end = part.end();
      }
      assertThat(layout.bytes() - end).as("bytes of %s", layout).isBetween(0L, LINE - 1);
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldGiveEverySenderItsOwnSlots_whenAnyShape(long seed) {
    LowLatencyLayout layout = any(new SplittableRandom(seed));
    long next = 0;
    for (int expert = 0; expert < layout.localExperts(); expert++) {
      for (int sender = 0; sender < layout.numRanks(); sender++) {
        assertThat(layout.slot(expert, sender)).isEqualTo(next);
        next += layout.maxTokens();
      }
    }
    assertThat(next).isEqualTo(layout.localExperts() * layout.rowsPerExpert());
  }

  @Test
  void shouldNotOverflow_whenRegionsExceedTwoGibibytes() {
    LowLatencyLayout layout = new LowLatencyLayout(64, 8, 1024, 7168);
    long slots = 64L * 8 * 1024;
    assertThat(layout.slot(7, 63)).isEqualTo(slots - 1024);
    assertThat(layout.wireScales()).isEqualTo(slots * 2 * 7168);
    assertThat(layout.bytes()).isGreaterThan(slots * (2 * 7168 + 2 * 4 * 56 + 8));
  }
}
