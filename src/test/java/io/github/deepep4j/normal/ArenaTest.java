package io.github.deepep4j.normal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.error.EpCapacityException;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RoutingShape;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Regions of exact size from one arena that is nearly full. */
class ArenaTest {
  private static final int NUM_RANKS = 3;
  private static final int HIDDEN = 264;

  private final SplittableRandom random = new SplittableRandom(77);
  private final GlobalInput input =
      Inputs.draw(
          random, new Inputs.Shape(NUM_RANKS, 6, 6, HIDDEN, RoutingShape.UNIFORM), 16, 16, 16);

  /** Every token goes to every rank, so every rank receives 48 rows. */
  private final Round round = new Round(input, Form.rankMajor(), Payload.bf16(input));

  private static final int ROWS = 48;
  private static final long ROW_BYTES = 2L * HIDDEN;

  /** Room for two sets of rows and the metadata of one, not for three. */
  private final BufferOptions options =
      Scenarios.options(6, HIDDEN).arenaBytes(2 * ROWS * ROW_BYTES + ROWS * 100 + 2048);

  @Test
  void shouldNotDependOnWhoIsFast_whenOutputsAreReadLate() {
    CombineRound combine =
        new CombineRound(round, CombineRound.Form.plain().withHook(), HIDDEN, random);
    RankEnd.run(
        NUM_RANKS,
        options,
        end -> {
          try (HostTensors memory = new HostTensors()) {
            for (int i = 0; i < 6; i++) {
              try (DispatchHandle handle = end.dispatchAndCheck(round)) {
                for (int j = 0; j < 2; j++) {
                  // The fast ranks' outputs are still unread when they call the next dispatch.
                  try (CombineResult sums = end.combine(combine, handle, memory)) {
                    Thread.sleep(end.rank == i % NUM_RANKS ? 10 : 0);
                    end.check(combine, sums);
                  }
                  try (DispatchResult first =
                          end.dispatchCached(round, round.payload, handle, memory);
                      DispatchResult second =
                          end.dispatchCached(round, round.payload, handle, memory)) {
                    end.checkCached(round, round.payload, first);
                    end.checkCached(round, round.payload, second);
                  }
                }
              }
            }
          }
        });
  }

  @Test
  void shouldThrowOnEveryRank_whenNoRoomIsLeft() {
    RankEnd.run(
        NUM_RANKS,
        options,
        end -> {
          HostTensors memory = new HostTensors();
          DispatchResult first = end.dispatch(round, memory);
          try (memory;
              DispatchHandle handle = first.handle();
              DispatchResult cached = end.dispatchCached(round, round.payload, handle, memory)) {
            for (int i = 0; i < 3; i++) {
              assertThatThrownBy(() -> end.dispatch(round, memory))
                  .isInstanceOfSatisfying(
                      EpCapacityException.class,
                      e -> {
                        assertThat(e.needed()).isEqualTo(ROWS);
                        assertThat(e.capacity()).isLessThan(ROWS);
                        assertThat(e.fullRank()).isZero();
                      });
              assertThatThrownBy(() -> end.dispatchCached(round, round.payload, handle, memory))
                  .isInstanceOf(EpCapacityException.class);
            }
            end.check(round, first);
            end.checkCached(round, round.payload, cached);
            first.close();
            try (DispatchResult again = end.dispatchCached(round, round.payload, handle, memory)) {
              end.checkCached(round, round.payload, again);
            }
          }
        });
  }

  @Test
  void shouldKeepManyResultsOpen_whenThereIsRoom() {
    List<Round> rounds = new ArrayList<>();
    for (int i = 0; i < 40; i++) {
      GlobalInput small =
          Inputs.draw(
              random, new Inputs.Shape(NUM_RANKS, 6, 2, 8, RoutingShape.HOLES), 1 + i % 3, 0, 2);
      rounds.add(new Round(small, Form.rankMajor(), Payload.bf16(small)));
    }
    RankEnd.run(
        NUM_RANKS,
        options,
        end -> {
          try (HostTensors memory = new HostTensors()) {
            List<DispatchResult> open = new ArrayList<>();
            for (Round each : rounds) {
              open.add(end.dispatch(each, memory));
            }
            for (int i = rounds.size() - 1; i >= 0; i--) {
              end.check(rounds.get(i), open.get(i));
              open.get(i).handle().close();
              open.get(i).close();
            }
            end.dispatchAndCheck(round).close();
          }
        });
  }

  /** A training step: every layer's result lives from forward to backward, without a copy. */
  @Test
  void shouldKeepAStepsResultsOpen_whenLayersGoForwardAndBackward() {
    int layers = 6;
    long resultBytes = ROWS * ROW_BYTES + ROWS * 100 + 2048;
    CombineRound combine = new CombineRound(round, CombineRound.Form.plain(), HIDDEN, random);
    CombineRound inPlace =
        new CombineRound(
            round, CombineRound.Form.plain().inPlace().withWeightsBack(), HIDDEN, random);
    RankEnd.run(
        NUM_RANKS,
        options.arenaBytes(layers * resultBytes + 2 * ROWS * ROW_BYTES),
        end -> {
          for (int step = 0; step < 2; step++) {
            try (HostTensors memory = new HostTensors()) {
              List<DispatchResult> open = new ArrayList<>();
              for (int layer = 0; layer < layers; layer++) {
                open.add(end.dispatch(round, memory));
                end.combineAndCheck(combine, open.get(layer).handle());
              }
              for (int layer = layers - 1; layer >= 0; layer--) {
                DispatchResult forward = open.get(layer);
                try (DispatchHandle handle = forward.handle();
                    DispatchResult gradient =
                        end.dispatchCached(round, round.payload, handle, memory)) {
                  end.checkCached(round, round.payload, gradient);
                  end.check(round, forward);
                  forward.close();
                  end.combineAndCheck(inPlace, handle);
                }
              }
            }
          }
        });
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldGiveTheSameRows_whenEveryFormHasItsPlaceInAnArena(long seed) {
    int numRanks = 4;
    BufferOptions wide = MixedForms.options(8, 128).arenaBytes(32 << 20);
    MixedForms rounds = new MixedForms(new SplittableRandom(seed), numRanks, wide, 12);
    RankEnd.run(numRanks, wide, end -> rounds.run(end.buffer, end.rank));
  }
}
