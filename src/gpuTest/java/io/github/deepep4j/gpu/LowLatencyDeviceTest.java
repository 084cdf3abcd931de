package io.github.deepep4j.gpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.LowLatencyCombine;
import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.LowLatencyDispatch;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.Statistics;
import io.github.deepep4j.TimeoutPolicy;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.fixtures.BufferRanks;
import io.github.deepep4j.fixtures.CountedRows;
import io.github.deepep4j.fixtures.LowLatencyGroup;
import io.github.deepep4j.fixtures.LowLatencyGroup.Member;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.LowLatencyRound.Routing;
import io.github.deepep4j.fixtures.LowLatencyShapes;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import io.github.deepep4j.tensor.Tensor;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Low-latency mode where a GPU is different: streams, multiprocessors, faults that come late. */
@Tag("gpu")
final class LowLatencyDeviceTest {
  private static final Shape SHAPE = new Shape(3, 6, 9, 256, 3);
  private static final LowLatencyDispatchOptions SEND = LowLatencyDispatchOptions.defaults();
  private static final LowLatencyCombineOptions BACK = LowLatencyCombineOptions.defaults();
  private static final CountedRows ROWS = new CountedRows(2, 4, 128);
  private static final BufferOptions TWO =
      BufferOptions.of(4, 128, 8).maxTopk(2).lowLatency().timeout(Duration.ofSeconds(2));

  private static LowLatencyRound round(long seed) {
    return LowLatencyRound.of(SHAPE, Routing.GAPS, new SplittableRandom(seed));
  }

  private static void roundTrip(LowLatencyRank rank, LowLatencyRound round, int numSms) {
    try (LowLatencyDispatch sent = rank.dispatch(round, SEND.numSms(numSms));
        LowLatencyCombine sums = rank.combine(round, sent.handle(), BACK.numSms(numSms).hook())) {
      rank.checkDispatch(round, sent, null);
      rank.checkCombine(round, sums, false);
    }
  }

  /** A second buffer on the same device; the thread's tensors stay with the first one's stream. */
  private static Buffer another(Member member) {
    return Buffer.builder(member.group())
        .options(LowLatencyShapes.options(SHAPE))
        .device(member.buffer().device())
        .build();
  }

  @Test
  void shouldOrderTheCalls_whenEachNamesAnotherStreamOrEvent() {
    LowLatencyRound round = round(31);
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          // The second buffer lends its stream, and is used itself in between.
          try (Buffer other = another(member);
              LowLatencyRank there = new LowLatencyRank(other, member.number(), true)) {
            LowLatencyRank rank = member.rank();
            for (int i = 0; i < 30; i++) {
              LowLatencyDispatchOptions send =
                  i % 2 == 0 ? SEND.stream(other.stream()) : SEND.hook();
              Tensor x = rank.x(round);
              Tensor topkIdx = rank.topkIdx(round);
              try (LowLatencyDispatch rows = member.buffer().lowLatencyDispatch(x, topkIdx, send);
                  LowLatencyDispatch again =
                      other.lowLatencyDispatch(x, topkIdx, SEND.previousEvent(rows.event()));
                  LowLatencyCombine sums =
                      rank.combine(round, rows.handle(), BACK.previousEvent(again.event()))) {
                sums.event().synchronize();
                again.event().synchronize();
                rank.checkDispatch(round, rows, null);
                there.checkDispatch(round, again, null);
                rank.checkCombine(round, sums, false);
              }
              rank.close();
            }
          }
        });
  }

  @Test
  void shouldGiveTheSame_whenRanksUseDifferentNumbersOfMultiprocessors() {
    LowLatencyRound round = round(32);
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          for (int numSms : new int[] {1, 2, 7, 0}) {
            roundTrip(member.rank(), round, numSms == 0 ? 3 : numSms + member.number());
          }
        });
  }

  /** Three ranks on one GPU may have a third of it each; with a second buffer on it, a sixth. */
  @Test
  void shouldNameTheMost_whenACallAsksForMoreMultiprocessorsThanFit() {
    LowLatencyRound round = round(33);
    LowLatencyGroup.runOnOneGpu(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          int third = mostSms(member.rank(), round);
          member.meet();
          try (Buffer other = another(member)) {
            member.meet();
            assertThat(other.statistics().windowBytes()).isPositive();
            assertThat(mostSms(member.rank(), round)).isBetween(third / 2 - 1, third / 2);
            roundTrip(member.rank(), round, mostSms(member.rank(), round));
            member.meet();
          }
          member.meet();
          roundTrip(member.rank(), round, mostSms(member.rank(), round));
        });
  }

  /** What a refusal names. */
  private static int mostSms(LowLatencyRank rank, LowLatencyRound round) {
    Throwable refusal = catchThrowable(() -> rank.dispatch(round, SEND.numSms(100)));
    assertThat(refusal).isInstanceOf(IllegalArgumentException.class);
    String text = String.valueOf(refusal.getMessage());
    assertThat(text).contains("num_sms of a low-latency call must be at most ").contains("100");
    return Integer.parseInt(text.replaceAll("(?s).*must be at most ([0-9]+).*", "$1"));
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 5})
  void shouldTakeWhatTheHintSays_whenABufferIsMade(int regions) {
    BufferOptions both = LowLatencyShapes.options(SHAPE).lowLatencyRegions(regions);
    for (BufferOptions options :
        List.of(both, both.lowLatencyOnly(), both.expertMajor().arenaBytes(1_000_001))) {
      SizeHint hint = SizeHint.of(options, SHAPE.numRanks(), TestDevice.gpu(0));
      LowLatencyGroup.run(
          SHAPE.numRanks(),
          options,
          member -> {
            assertThat(member.buffer().statistics().windowBytes()).isEqualTo(hint.totalBytes());
            roundTrip(member.rank(), round(34), 2);
            member.meet();
          });
    }
  }

  /** A combine under way keeps what it needs, though its dispatch is closed and regions are few. */
  @Test
  void shouldReceiveTheCombineFirst_whenItsRegionIsNeeded() {
    LowLatencyRound first = round(35);
    LowLatencyRound second = round(36);
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE).lowLatencyRegions(2),
        member -> {
          LowLatencyRank rank = member.rank();
          for (int i = 0; i < 10; i++) {
            LowLatencyDispatch sent = rank.dispatch(first, SEND.hook());
            LowLatencyCombine sums = rank.combine(first, sent.handle(), BACK.hook());
            sent.close();
            LowLatencyDispatch one = rank.dispatch(second, SEND.hook());
            assertThat(sums.isReceived()).isFalse();
            LowLatencyDispatch two = rank.dispatch(second, SEND);
            assertThat(sums.isReceived()).isTrue();
            rank.checkCombine(first, sums, false);
            rank.checkDispatch(second, two, null);
            rank.checkDispatch(second, one, null);
            sums.close();
            one.close();
            two.close();
          }
          assertThat(member.buffer().statistics().openResults()).isZero();
        });
  }

  private static void assertSilent(Throwable thrown, String operation) {
    assertThat(thrown).isInstanceOf(EpTimeoutException.class);
    assertThat(((EpTimeoutException) thrown).culprit()).isEqualTo(1);
    assertThat(((EpException) thrown).operation()).isEqualTo(operation);
  }

  @ParameterizedTest(name = "hook: {0}")
  @ValueSource(booleans = {false, true})
  void shouldNameTheSilentRankWhereDataIsAskedFor_whenItNeverDispatches(boolean hook) {
    BufferRanks.run(
        2,
        TWO,
        my -> {
          if (my.rank == 1) {
            my.awaitOthers(1);
            return;
          }
          LowLatencyDispatch result =
              my.buffer.lowLatencyDispatch(ROWS.x(0), ROWS.topkIdx(0), hook ? SEND.hook() : SEND);
          result.receive();
          Tensor early = result.x();
          assertSilent(catchThrowable(() -> result.event().synchronize()), "lowLatencyDispatch");
          assertSilent(catchThrowable(result::count), "lowLatencyDispatch");
          assertSilent(catchThrowable(early::address), "lowLatencyDispatch");
          assertSilent(catchThrowable(my.buffer::check), "lowLatencyDispatch");
          result.close();
        });
  }

  @Test
  void shouldNameTheSilentRank_whenItNeverCombines() {
    BufferRanks.run(
        2,
        TWO,
        my -> {
          LowLatencyDispatch rows =
              my.buffer.lowLatencyDispatch(ROWS.x(my.rank), ROWS.topkIdx(my.rank));
          ROWS.assertReceived(rows, my.rank, Set.of(0, 1));
          if (my.rank == 1) {
            my.awaitOthers(1);
            return;
          }
          LowLatencyCombine sums =
              my.buffer.lowLatencyCombine(
                  CountedRows.copyOfRows(rows.x()), ROWS.topkWeights(0), rows.handle());
          assertSilent(catchThrowable(() -> sums.event().synchronize()), "lowLatencyCombine");
          assertSilent(catchThrowable(sums::combined), "lowLatencyCombine");
          // What came before it is whole.
          ROWS.assertReceived(rows, 0, Set.of(0, 1));
        });
  }

  @Test
  void shouldGoOnWithoutTheSilentRank_whenTimeoutsMask() {
    BufferRanks.run(
        2,
        TWO.onTimeout(TimeoutPolicy.MASK),
        my -> {
          if (my.rank == 1) {
            my.awaitOthers(1);
            return;
          }
          for (int i = 0; i < 3; i++) {
            try (LowLatencyDispatch rows =
                    my.buffer.lowLatencyDispatch(ROWS.x(0), ROWS.topkIdx(0));
                LowLatencyCombine sums =
                    my.buffer.lowLatencyCombine(
                        CountedRows.copyOfRows(rows.x()), ROWS.topkWeights(0), rows.handle())) {
              ROWS.assertReceived(rows, 0, Set.of(0));
              ROWS.assertLowLatencyCombined(sums.combined(), 0, Set.of(0));
            }
            assertThat(my.buffer.maskedRanks()).containsExactly(1);
          }
        });
  }

  @Test
  void shouldCountRowsAndBytesPerPeer_whenLowLatency() {
    BufferRanks.run(
        2,
        TWO.timeout(TestDevice.PATIENCE),
        my -> {
          int sent = 0;
          try (LowLatencyDispatch rows =
              my.buffer.lowLatencyDispatch(ROWS.x(my.rank), ROWS.topkIdx(my.rank))) {
            try (LowLatencyCombine sums =
                my.buffer.lowLatencyCombine(
                    CountedRows.copyOfRows(rows.x()), ROWS.topkWeights(my.rank), rows.handle())) {
              sums.event().synchronize();
            }
            Statistics statistics = my.buffer.statistics();
            for (long expert : TestDevice.read(ROWS.topkIdx(my.rank), Tensor::toLongs)) {
              sent += expert >= 0 ? 1 : 0;
            }
            List<Statistics.Peer> peers = statistics.lowLatency();
            assertThat(peers.stream().mapToLong(Statistics.Peer::rowsSent).sum()).isEqualTo(sent);
            assertThat(peers.stream().mapToLong(Statistics.Peer::bytesSent).sum())
                .isEqualTo(sent * 256L);
            assertThat(peers.stream().mapToLong(Statistics.Peer::rowsCombined).sum())
                .isEqualTo(sent);
            int received = 0;
            for (int count : TestDevice.read(rows.count(), Tensor::toInts)) {
              received += count;
            }
            assertThat(peers.stream().mapToLong(Statistics.Peer::rowsReceived).sum())
                .isEqualTo(received);
            assertThat(statistics.normal()).allMatch(peer -> peer.rowsSent() == 0);
          }
        });
  }

  @Test
  void shouldRefuseAndWorkAgain_whenTooManyRegionsAreAsked() {
    LowLatencyGroup.run(
        1,
        BufferOptions.of(2, 64, 4).maxTopk(2).lowLatency(),
        member ->
            assertThatThrownBy(
                    () ->
                        TestDevice.build(
                            member.group(),
                            BufferOptions.of(2, 64, 4).lowLatency().lowLatencyRegions(17)))
                .hasMessageContaining("lowLatencyRegions must be at most 16 on CUDA: 17"));
  }
}
