package io.github.deepep4j.normal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Results whose receiving half is left for later, on each rank a different one. */
class HookOrderTest {
  private static final int HIDDEN = 56;
  private static final int NUM_RANKS = 3;

  private final SplittableRandom random = new SplittableRandom(71);
  private final GlobalInput input =
      Inputs.draw(
          random, new Inputs.Shape(NUM_RANKS, 6, 3, HIDDEN, RoutingShape.UNIFORM), 13, 1, 7);
  private final Round round = new Round(input, Form.rankMajor(), Payload.bf16(input));
  private final BufferOptions options = Scenarios.options(6, HIDDEN);

  /**
   * Each rank's memory for outputs is full of what some other rank has not read yet, and every rank
   * has read one of the two: without care each would wait in its third combine for another one.
   */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void shouldNotWaitForEachOther_whenRanksLeaveDifferentCombinesOpen(boolean zeroCopy) {
    List<CombineRound> combines = new ArrayList<>();
    CombineRound.Form hook = CombineRound.Form.plain().withHook();
    for (int i = 0; i < 8; i++) {
      combines.add(new CombineRound(round, zeroCopy ? hook.inPlace() : hook, HIDDEN, random));
    }
    RankEnd.run(
        NUM_RANKS,
        options,
        end -> {
          try (HostTensors memory = new HostTensors();
              DispatchHandle handle = end.dispatchAndCheck(round)) {
            CombineResult open = end.combine(combines.get(0), handle, memory);
            CombineRound openRound = combines.get(0);
            for (int i = 1; i < combines.size(); i++) {
              CombineResult next = end.combine(combines.get(i), handle, memory);
              boolean keepOlder = (end.rank + i) % 2 == 0;
              CombineResult done = keepOlder ? next : open;
              CombineRound doneRound = keepOlder ? combines.get(i) : openRound;
              end.check(doneRound, done);
              done.close();
              openRound = keepOlder ? openRound : combines.get(i);
              open = keepOlder ? open : next;
            }
            end.check(openRound, open);
            open.close();
          }
        });
  }

  @Test
  void shouldNameTheOpenResults_whenNoRegionIsFree() {
    List<CombineRound> combines = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      combines.add(new CombineRound(round, CombineRound.Form.plain().withHook(), HIDDEN, random));
    }
    RankEnd.run(
        NUM_RANKS,
        options,
        end -> {
          try (HostTensors memory = new HostTensors();
              DispatchHandle handle = end.dispatchAndCheck(round)) {
            CombineResult first = end.combine(combines.get(0), handle, memory);
            CombineResult second = end.combine(combines.get(1), handle, memory);
            assertThatThrownBy(() -> end.combine(combines.get(2), handle, memory))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("combine #2")
                .hasMessageContaining("combine #3");
            assertThat(first.isReceived()).isFalse();
            end.check(combines.get(0), first);
            first.close();
            try (CombineResult third = end.combine(combines.get(2), handle, memory)) {
              end.check(combines.get(1), second);
              second.close();
              end.check(combines.get(2), third);
            }
          }
        });
  }

  @Test
  void shouldNameTheOpenDispatches_whenNoRegionIsFree() {
    RankEnd.run(
        NUM_RANKS,
        options,
        end -> {
          HostTensors memory = new HostTensors();
          DispatchResult first = end.dispatch(round, memory);
          try (memory;
              DispatchResult second = end.dispatch(round, memory)) {
            assertThatThrownBy(() -> end.dispatch(round, memory))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("dispatch #1")
                .hasMessageContaining("dispatch #2");
            end.check(round, first);
            end.check(round, second);
            first.close();
            end.dispatchAndCheck(round).close();
            end.check(round, second);
          }
        });
  }

  @Test
  void shouldGiveTheRegionBack_whenCombineInputWasNeverCombined() {
    RankEnd.run(
        NUM_RANKS,
        options,
        end -> {
          for (int i = 0; i < 5; i++) {
            try (DispatchHandle handle = end.dispatchAndCheck(round)) {
              Tensor unused = end.buffer.combineInput(handle, null);
              assertThat(unused.size(1)).isEqualTo(HIDDEN);
            }
          }
        });
  }
}
