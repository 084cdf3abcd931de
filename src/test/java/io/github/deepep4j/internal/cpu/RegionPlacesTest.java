package io.github.deepep4j.internal.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.fixtures.Inputs;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Regions inside windows, and fields inside regions: none overlaps another or leaves its space. */
final class RegionPlacesTest {
  private static final String SEEDS = "io.github.deepep4j.fixtures.Seeds#few";
  private static final long LINE = 64;

  private record Part(String name, long begin, long bytes) {
    long end() {
      return begin + bytes;
    }
  }

  /** Parts follow each other without overlap and gaps of at most a line, from 0 to the end. */
  private static void assertCovers(List<Part> parts, long bytes) {
    List<Part> sorted = new ArrayList<>(parts);
    sorted.removeIf(part -> part.bytes() == 0);
    sorted.sort(Comparator.comparingLong(Part::begin));
    long end = 0;
    for (Part part : sorted) {
      assertThat(part.begin()).as("%s of %s", part, parts).isBetween(end, end + LINE - 1);
      assertThat(part.begin() % LINE).as("alignment of %s", part).isZero();
      end = part.end();
    }
    assertThat(bytes).as("%s", parts).isBetween(end, end + LINE - 1);
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource(SEEDS)
  void shouldCoverTheRegion_whenAnyForm(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    for (int i = 0; i < 50; i++) {
      RowOrder order = Inputs.any(random, RowOrder.values());
      int numTopk = random.nextInt(33);
      RegionLayout.Form form =
          new RegionLayout.Form(
              order,
              16 * (1 + random.nextInt(900)),
              random.nextInt(60),
              numTopk,
              numTopk == 0 ? 0 : 4 + 4 * random.nextInt(2));
      long rows = random.nextInt(4) == 0 ? random.nextInt(3) : random.nextInt(1 << 20);
      RegionLayout layout =
          new RegionLayout(form, 1 + random.nextInt(9), 1 + random.nextInt(300), rows);
      assertCovers(parts(layout), layout.bytes());
    }
  }

  private static List<Part> parts(RegionLayout layout) {
    RegionLayout.Form form = layout.form();
    long rows = layout.rows();
    boolean rankMajor = form.hasMetadata() && form.rankMajor();
    boolean expertMajor = form.hasMetadata() && !form.rankMajor();
    long perChoice = rankMajor ? rows * form.numTopk() : 0;
    long perRow = expertMajor ? 4 * rows : 0;
    return List.of(
        new Part("x", layout.x(), rows * form.rowBytes()),
        new Part("scales", layout.scales(), rows * form.scaleWords() * 4),
        new Part("topkIdx", layout.topkIdx(), perChoice * form.indexBytes()),
        new Part("topkWeights", layout.topkWeights(), perChoice * 4),
        new Part("weight", layout.weight(), perRow),
        new Part("sourceRank", layout.sourceRank(), perRow),
        new Part("topkSlot", layout.topkSlot(), perRow),
        new Part("sourceToken", layout.sourceToken(), form.hasMetadata() ? 4 * rows : 0),
        new Part("rankPrefix", layout.rankPrefix(), 4L * layout.numRanks()),
        new Part("expertOffsets", layout.expertOffsets(), 4L * (layout.localExperts() + 1)),
        new Part("tokensPerExpert", layout.tokensPerExpert(), 4L * layout.localExperts()),
        new Part("numReceived", layout.numReceived(), 4));
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource(SEEDS)
  void shouldCoverTheOutputs_whenAnyShape(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    for (int i = 0; i < 50; i++) {
      boolean logFmt = random.nextBoolean();
      int hidden = logFmt ? 512 * (1 + random.nextInt(14)) : 8 * (1 + random.nextInt(900));
      long rows = random.nextInt(1 << 20);
      int weights = random.nextInt(33);
      int begins = random.nextInt(200);
      OutputLayout layout = new OutputLayout(rows, hidden, logFmt, weights, begins);
      assertCovers(
          List.of(
              new Part("x", layout.x(), rows * 2 * hidden),
              new Part("ranges", layout.ranges(), logFmt ? rows * hidden / 128 * 4 : 0),
              new Part("weights", layout.weights(), rows * weights * 4),
              new Part("begins", layout.begins(), 4L * begins)),
          layout.bytes());
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource(SEEDS)
  void shouldMatchTheSizeHint_whenRegionsFillTheWindow(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    for (int i = 0; i < 20; i++) {
      int numRanks = 1 + random.nextInt(9);
      BufferOptions options = options(random, numRanks);
      WindowLayout layout = WindowLayout.of(options, numRanks);
      SizeHint hint = SizeHint.of(options, numRanks);
      assertThat(hint.totalBytes()).isEqualTo(layout.bytes());
      assertCovers(
          List.of(
              new Part("control", 0, hint.controlBytes()),
              new Part("dispatch", layout.dispatchBase(), hint.dispatchBytes()),
              new Part("outputs", layout.outputBase(), hint.combineBytes()),
              new Part("ll", layout.lowLatencyBase(), hint.lowLatencyDispatchBytes()),
              new Part("ll outputs", layout.lowLatencyOutputBase(), hint.lowLatencyCombineBytes())),
          layout.bytes());
      assertThat(hint.controlBytes()).isGreaterThanOrEqualTo(layout.control().bytes());
      checkPlaces(layout, options);
    }
  }

  private static BufferOptions options(SplittableRandom random, int numRanks) {
    BufferOptions options =
        BufferOptions.of(
                numRanks * (1 + random.nextInt(20)),
                8 * (1 + random.nextInt(900)),
                1 + random.nextInt(5000))
            .maxTopk(1 + random.nextInt(32))
            .normalRegions(1 + random.nextInt(4))
            .lowLatencyRegions(1 + random.nextInt(4));
    options = random.nextBoolean() ? options.expertMajor() : options;
    options = random.nextBoolean() ? options.lowLatency() : options;
    options = random.nextInt(4) == 0 ? options.arenaBytes(1 + random.nextInt(1 << 30)) : options;
    return random.nextInt(6) == 0 ? options.lowLatencyOnly() : options;
  }

  /** Places of fixed regions lie inside the part of the window that the hint gives them. */
  private static void checkPlaces(WindowLayout layout, BufferOptions options) {
    if (layout.isArena() || !options.isNormal()) {
      return;
    }
    Extents.Fixed places =
        new Extents.Fixed(layout.dispatchBase(), layout.regionBytes(), layout.regions());
    for (int i = 0; i < layout.regions(); i++) {
      long offset = places.take(layout.regionBytes());
      assertThat(offset).isEqualTo(layout.dispatchBase() + i * layout.regionBytes());
      assertThat(offset + layout.regionBytes()).isLessThanOrEqualTo(layout.outputBase());
    }
    assertThat(places.take(1)).isEqualTo(-1);
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource(SEEDS)
  void shouldNeverOverlapAndComeTogetherAgain_whenAnArenaIsUsedAtRandom(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    long base = 64L * random.nextInt(100);
    long bytes = 64L * (1 + random.nextInt(2000));
    Extents.Arena arena = new Extents.Arena(base, bytes);
    List<Part> taken = new ArrayList<>();
    for (int i = 0; i < 500; i++) {
      if (!taken.isEmpty() && random.nextInt(5) < 2) {
        Part given = taken.remove(random.nextInt(taken.size()));
        arena.give(given.begin(), given.bytes());
        continue;
      }
      long wanted = random.nextInt(20_000);
      long largest = arena.largest();
      long offset = arena.take(wanted);
      // What is said to be free can be taken, and nothing else.
      assertThat(offset >= 0)
          .as("%s of %s", wanted, largest)
          .isEqualTo(Math.max(1, wanted) <= largest);
      if (offset >= 0) {
        Part part = new Part("taken", offset, wanted);
        assertThat(offset).isBetween(base, base + bytes);
        assertThat(part.end()).isLessThanOrEqualTo(base + bytes);
        for (Part other : taken) {
          assertThat(
                  part.begin() >= other.begin() + Math.max(1, other.bytes())
                      || other.begin() >= part.begin() + Math.max(1, part.bytes()))
              .as("%s beside %s", part, other)
              .isTrue();
        }
        taken.add(part);
      }
    }
    taken.forEach(part -> arena.give(part.begin(), part.bytes()));
    assertThat(arena.largest()).isEqualTo(bytes);
    assertThat(arena.take(bytes)).isEqualTo(base);
  }
}
