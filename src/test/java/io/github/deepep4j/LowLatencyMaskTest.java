package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.LowLatencyGroup;
import io.github.deepep4j.fixtures.LowLatencyGroup.Member;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.LowLatencyRound.Routing;
import io.github.deepep4j.fixtures.LowLatencyShapes;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * A rank that its peers have masked, but that lives: it may be in the middle of a send, and go on
 * with it whenever it gets the processor. Nothing that it can still write may reach the others'
 * rows, and no region may be lost to it.
 */
@Tag("cpu")
final class LowLatencyMaskTest {
  private static final Shape SHAPE = new Shape(3, 6, 4, 128, 4);
  private static final int MASKED = 1;

  /** Fills every slot that the masked rank owns, as if its rows arrived now. */
  private static void writeLate(List<Long> regions) {
    long slotBytes = 2L * SHAPE.hidden();
    for (long region : regions) {
      for (int expert = 0; expert < SHAPE.localExperts(); expert++) {
        long slot = (long) expert * SHAPE.rowsPerExpert() + (long) MASKED * SHAPE.maxTokens();
        OffHeap.fill(region + slot * slotBytes, SHAPE.maxTokens() * slotBytes, (byte) 0x5A);
      }
    }
  }

  /** Where the regions begin: there rows are packed in place, as long as nobody is masked. */
  private static List<Long> regions(Member member, LowLatencyRound round) {
    LowLatencyDispatchOptions options = LowLatencyDispatchOptions.defaults();
    List<Long> regions = new ArrayList<>();
    try (LowLatencyDispatch first = member.rank().dispatch(round, options);
        LowLatencyDispatch second = member.rank().dispatch(round, options)) {
      regions.add(first.x().address());
      regions.add(second.x().address());
    }
    return regions;
  }

  @Test
  void shouldKeepRowsAndRegions_whenAMaskedRankWritesLate() {
    SplittableRandom random = new SplittableRandom(41);
    LowLatencyRound all = LowLatencyRound.of(SHAPE, Routing.SPREAD, random);
    List<LowLatencyRound> rounds = new ArrayList<>();
    for (int i = 0; i < 6; i++) {
      rounds.add(LowLatencyRound.of(SHAPE, Routing.GAPS, random).without(MASKED));
    }
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          List<Long> regions = regions(member, all);
          member.meet();
          if (member.number() != MASKED) {
            member.buffer().mask(MASKED);
            for (int i = 0; i < rounds.size(); i++) {
              runWithout(member, rounds.get(i), regions, i % 2 == 0 ? null : Quantization.PLAIN);
            }
            assertThat(member.buffer().statistics().quarantinedRegions()).isZero();
          }
          member.meet(); // the masked rank lives until here
        });
  }

  private static void runWithout(
      Member member,
      LowLatencyRound round,
      List<Long> regions,
      @Nullable Quantization quantization) {
    LowLatencyDispatchOptions options = LowLatencyDispatchOptions.defaults().hook();
    options = quantization == null ? options : options.quantize(quantization);
    try (LowLatencyDispatch sent = member.rank().dispatch(round, options)) {
      writeLate(regions);
      sent.receive();
      writeLate(regions);
      member.rank().checkDispatch(round, sent, quantization);
      try (LowLatencyCombine sums =
          member.rank().combine(round, sent.handle(), LowLatencyCombineOptions.defaults())) {
        member.rank().checkCombine(round, sums, false);
      }
    }
  }
}
