package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.fixtures.LowLatencyGroup;
import io.github.deepep4j.fixtures.LowLatencyGroup.Member;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.LowLatencyRound.Routing;
import io.github.deepep4j.fixtures.LowLatencyShapes;
import io.github.deepep4j.fixtures.NormalRound;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Hooks, several open results, and low-latency calls between normal ones. */
final class LowLatencyOverlapTest {
  private static final String SEEDS = "io.github.deepep4j.fixtures.Seeds#few";
  private static final LowLatencyDispatchOptions SEND = LowLatencyDispatchOptions.defaults();
  private static final LowLatencyDispatchOptions SEND_HALF = SEND.hook();
  private static final LowLatencyCombineOptions SUM_HALF =
      LowLatencyCombineOptions.defaults().hook();
  private static final Shape SHAPE = new Shape(3, 6, 7, 32, 3);

  private static List<LowLatencyRound> rounds(Shape shape, int count, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    List<LowLatencyRound> rounds = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      rounds.add(LowLatencyRound.of(shape, i % 2 == 0 ? Routing.SPREAD : Routing.GAPS, random));
    }
    return rounds;
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource(SEEDS)
  void shouldKeepTwoOfEachApart_whenReceivedAndClosedInAnyOrder(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    Shape shape = LowLatencyShapes.any(8, 20, random);
    List<LowLatencyRound> rounds = rounds(shape, 8, seed);
    LowLatencyGroup.run(
        shape.numRanks(),
        LowLatencyShapes.options(shape),
        member -> {
          // Every rank takes an order of its own.
          SplittableRandom order = new SplittableRandom(seed + member.number());
          for (int i = 0; i < rounds.size(); i += 2) {
            overlapTwo(member.rank(), List.of(rounds.get(i), rounds.get(i + 1)), order);
          }
        });
  }

  private static void overlapTwo(
      LowLatencyRank rank, List<LowLatencyRound> rounds, SplittableRandom order) {
    List<LowLatencyDispatch> sent =
        List.of(rank.dispatch(rounds.get(0), SEND_HALF), rank.dispatch(rounds.get(1), SEND_HALF));
    assertThat(sent).noneMatch(LowLatencyDispatch::isReceived);
    int first = order.nextInt(2);
    for (int i : new int[] {first, 1 - first}) {
      if (order.nextBoolean()) {
        sent.get(i).receive(); // else the first accessor does it
      }
      rank.checkDispatch(rounds.get(i), sent.get(i), null);
      assertThat(sent.get(i).isReceived()).isTrue();
    }
    List<LowLatencyCombine> sums = new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      LowLatencyHandle handle = sent.get(i).handle();
      sums.add(
          order.nextBoolean()
              ? rank.combine(rounds.get(i), handle, SUM_HALF)
              : rank.combineInPlace(rounds.get(i), handle, SUM_HALF));
    }
    int firstClosed = order.nextInt(2);
    sent.get(firstClosed).close(); // what a combine under way needs, it has
    sent.get(1 - firstClosed).close();
    int firstSum = order.nextInt(2);
    for (int i : new int[] {firstSum, 1 - firstSum}) {
      rank.checkCombine(rounds.get(i), sums.get(i), false);
    }
    sums.get(order.nextInt(2)).close();
    sums.forEach(LowLatencyCombine::close); // idempotent
  }

  @Test
  void shouldReceiveFirst_whenCombinedOrClosedWithoutReceive() {
    List<LowLatencyRound> rounds = rounds(SHAPE, 3, 11);
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          LowLatencyRank rank = member.rank();
          try (LowLatencyDispatch sent = rank.dispatch(rounds.get(0), SEND_HALF);
              LowLatencyCombine sums =
                  rank.combine(rounds.get(0), sent.handle(), LowLatencyCombineOptions.defaults())) {
            assertThat(sent.isReceived()).isTrue();
            rank.checkDispatch(rounds.get(0), sent, null);
            rank.checkCombine(rounds.get(0), sums, false);
          }
          LowLatencyDispatch unread = rank.dispatch(rounds.get(1), SEND_HALF);
          unread.close();
          assertThat(unread.isReceived()).isTrue();
          try (LowLatencyDispatch sent = rank.dispatch(rounds.get(2), SEND)) {
            rank.checkDispatch(rounds.get(2), sent, null);
          }
        });
  }

  @Test
  void shouldReportNoWait_whenRowsWereThereBeforeReceive() {
    LowLatencyRound round = rounds(SHAPE, 1, 12).get(0);
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          Tensor waits = member.rank().keep(Tensor.copyOf(new long[] {-1, -1, -1}, 3));
          try (LowLatencyDispatch sent =
              member.rank().dispatch(round, SEND_HALF.waitNanos(waits))) {
            TestDevice.finish();
            member.meet();
            sent.receive();
            assertThat(TestDevice.read(waits, Tensor::toLongs)).containsOnly(0);
          }
        });
  }

  @Test
  void shouldReportTheWait_whenOneSourceIsLate() {
    LowLatencyRound round = rounds(SHAPE, 1, 13).get(0);
    int late = 1;
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          if (member.number() == late) {
            Thread.sleep(100);
          }
          Tensor waits = member.rank().keep(Tensor.zeros(io.github.deepep4j.tensor.DType.INT64, 3));
          try (LowLatencyDispatch sent = member.rank().dispatch(round, SEND.waitNanos(waits))) {
            member.rank().checkDispatch(round, sent, null);
            long[] waited = TestDevice.read(waits, Tensor::toLongs);
            if (member.number() != late) {
              assertThat(waited[late]).isGreaterThan(10_000_000);
            }
            assertThat(waited[member.number()]).isLessThan(10_000_000);
          }
          member.meet(); // nobody leaves while another one may still wait
        });
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource(SEEDS)
  void shouldBothBeRight_whenNormalAndLowLatencyCallsAlternate(long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    Shape shape = LowLatencyShapes.any(8, 12, random);
    List<LowLatencyRound> rounds = rounds(shape, 4, seed);
    List<NormalRound> normal = rounds.stream().map(NormalRound::new).toList();
    LowLatencyGroup.run(
        shape.numRanks(),
        LowLatencyShapes.options(shape),
        member -> {
          LowLatencyRank rank = member.rank();
          for (int i = 0; i < rounds.size(); i++) {
            normal.get(i).run(member.buffer(), member.number());
            LowLatencyDispatch sent = rank.dispatch(rounds.get(i), SEND_HALF);
            normal.get(3 - i).run(member.buffer(), member.number());
            LowLatencyCombine sums = rank.combine(rounds.get(i), sent.handle(), SUM_HALF);
            normal.get(i).run(member.buffer(), member.number());
            rank.checkDispatch(rounds.get(i), sent, null);
            sent.close();
            rank.checkCombine(rounds.get(i), sums, false);
            sums.close();
          }
        });
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 5})
  void shouldHaveThatManyOpenAtOnce_whenRegionsAreAnOption(int regions) {
    List<LowLatencyRound> rounds = rounds(SHAPE, 3 * regions, 17);
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE).lowLatencyRegions(regions),
        member -> {
          LowLatencyRank rank = member.rank();
          SplittableRandom order = new SplittableRandom(member.number());
          List<LowLatencyDispatch> open = new ArrayList<>();
          List<LowLatencyRound> of = new ArrayList<>();
          for (LowLatencyRound round : rounds) {
            if (open.size() == regions) {
              assertThatThrownBy(() -> rank.dispatch(round, SEND))
                  .isInstanceOf(IllegalStateException.class)
                  .hasMessageContaining("no free low-latency dispatch region")
                  .hasMessageContaining(regions + " in use by lowLatencyDispatch #");
              int gone = order.nextInt(regions);
              rank.checkDispatch(of.remove(gone), open.get(gone), null);
              open.remove(gone).close();
            }
            open.add(rank.dispatch(round, SEND_HALF));
            of.add(round);
          }
          for (int i = open.size() - 1; i >= 0; i--) {
            rank.checkDispatch(of.get(i), open.get(i), null);
            open.get(i).close();
          }
          assertThat(member.buffer().statistics().openResults()).isZero();
        });
  }

  /**
   * Rank 1 receives its second combine and not its first, then enters a third, which needs a region
   * of rank 0: only the second's is free there, and rank 0 must not insist on the first's.
   */
  @Test
  void shouldTakeWhicheverRegionIsReadFirst_whenReadersReceiveOutOfOrder() {
    Shape shape = new Shape(2, 4, 5, 64, 2);
    List<LowLatencyRound> rounds = rounds(shape, 2, 19);
    LowLatencyGroup.run(
        2,
        LowLatencyShapes.options(shape),
        member -> {
          LowLatencyRank rank = member.rank();
          try (LowLatencyDispatch first = rank.dispatch(rounds.get(0), SEND);
              LowLatencyDispatch second = rank.dispatch(rounds.get(1), SEND)) {
            LowLatencyCombine sums0 = rank.combine(rounds.get(0), first.handle(), SUM_HALF);
            LowLatencyCombine sums1 = rank.combine(rounds.get(1), second.handle(), SUM_HALF);
            if (member.number() == 0) {
              sums0.receive();
              sums1.receive();
            } else {
              Thread.sleep(50); // rank 0 looks for a region while neither has been read
              sums1.receive();
            }
            try (LowLatencyCombine sums2 =
                rank.combine(rounds.get(0), first.handle(), LowLatencyCombineOptions.defaults())) {
              rank.checkCombine(rounds.get(0), sums2, false);
            }
            rank.checkCombine(rounds.get(0), sums0, false);
            rank.checkCombine(rounds.get(1), sums1, false);
            sums0.close();
            sums1.close();
          }
        });
  }

  @Test
  void shouldRefuseByName_whenHandleOrResultIsClosed() {
    LowLatencyRound round = rounds(SHAPE, 1, 23).get(0);
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          LowLatencyRank rank = member.rank();
          LowLatencyDispatch sent = rank.dispatch(round, SEND);
          Tensor x = sent.x();
          LowLatencyHandle handle = sent.handle();
          assertThat(handle.isClosed()).isFalse();
          assertThat(handle.numTokens()).isEqualTo(round.numTokens(member.number()));
          assertThat(handle.numTopk()).isEqualTo(SHAPE.numTopk());
          assertThatThrownBy(sent::scales)
              .isInstanceOf(IllegalStateException.class)
              .hasMessageContaining("has no scales");
          LowLatencyCombine sums = rank.combine(round, handle, LowLatencyCombineOptions.defaults());
          Tensor combined = sums.combined();
          sums.close();
          sent.close();
          assertThat(handle.isClosed()).isTrue();
          String name = "lowLatencyDispatch #1";
          assertThatThrownBy(() -> rank.combine(round, handle, LowLatencyCombineOptions.defaults()))
              .isInstanceOf(IllegalStateException.class)
              .hasMessageContaining(name);
          assertThatThrownBy(() -> member.buffer().lowLatencyCombineInput(handle, null))
              .isInstanceOf(IllegalStateException.class)
              .hasMessageContaining(name);
          assertThatThrownBy(sent::x)
              .isInstanceOf(IllegalStateException.class)
              .hasMessageContaining(name);
          assertThatThrownBy(x::address)
              .isInstanceOf(IllegalStateException.class)
              .hasMessageContaining(name);
          assertThatThrownBy(combined::address)
              .isInstanceOf(IllegalStateException.class)
              .hasMessageContaining("lowLatencyCombine #2");
          // The region is in use again: the old handle is still the old one.
          try (LowLatencyDispatch next = rank.dispatch(round, SEND)) {
            assertThat(handle.isClosed()).isTrue();
            rank.checkDispatch(round, next, null);
          }
        });
  }

  @Test
  void shouldGiveTheRegionBack_whenCombineInputWasNeverCombined() {
    LowLatencyRound round = rounds(SHAPE, 1, 29).get(0);
    LowLatencyGroup.run(
        SHAPE.numRanks(), LowLatencyShapes.options(SHAPE), false, takeAndForget(round));
  }

  private static LowLatencyGroup.Body takeAndForget(LowLatencyRound round) {
    return (Member member) -> {
      for (int i = 0; i < 5; i++) {
        try (LowLatencyDispatch sent = member.rank().dispatch(round, SEND)) {
          Tensor y = member.buffer().lowLatencyCombineInput(sent.handle(), null);
          assertThat(y.numElements()).isPositive();
        }
      }
      try (LowLatencyDispatch sent = member.rank().dispatch(round, SEND);
          LowLatencyCombine sums =
              member
                  .rank()
                  .combineInPlace(round, sent.handle(), LowLatencyCombineOptions.defaults())) {
        member.rank().checkCombine(round, sums, false);
      }
    };
  }
}
