package io.github.deepep4j.group;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpTimeoutException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What {@link ProcessGroup} promises, whatever carries it. */
abstract class ProcessGroupContract {
  static final Duration AMPLE = Duration.ofSeconds(60);
  static final Duration SHORT = Duration.ofMillis(400);

  /** A verdict is due at once; a loaded machine may take this much longer. */
  static final Duration PATIENCE = Duration.ofSeconds(20);

  private final List<ProcessGroup> opened = new ArrayList<>();

  /** Forms a group whose ranks are threads of this JVM; one end per rank, by rank. */
  abstract List<? extends ProcessGroup> form(int size, Duration timeout) throws Exception;

  List<? extends ProcessGroup> open(int size, Duration timeout) throws Exception {
    List<? extends ProcessGroup> ends = form(size, timeout);
    opened.addAll(ends);
    return ends;
  }

  @AfterEach
  void closeAll() {
    opened.forEach(ProcessGroup::close);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 8})
  void shouldGiveEveryPartToEveryRank_whenLengthsDiffer(int size) throws Exception {
    List<? extends ProcessGroup> ends = open(size, AMPLE);
    RankThreads.run(
        size,
        rank -> {
          assertThat(ends.get(rank).rank()).isEqualTo(rank);
          assertThat(ends.get(rank).size()).isEqualTo(size);
          for (int round = 0; round < 50; round++) {
            byte[][] all = ends.get(rank).allGather(part(rank, round));
            assertThat(all.length).isEqualTo(size);
            for (int peer = 0; peer < size; peer++) {
              assertThat(all[peer]).isEqualTo(part(peer, round));
            }
          }
        });
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldKeepRoundsApart_whenRanksComeInAnyOrder(long seed) throws Exception {
    int size = 4;
    List<? extends ProcessGroup> ends = open(size, AMPLE);
    RankThreads.run(
        size,
        rank -> {
          SplittableRandom random = new SplittableRandom(seed + rank);
          for (int round = 0; round < 20; round++) {
            if (random.nextInt(4) == 0) {
              Thread.sleep(random.nextInt(3));
            }
            if (round % 5 == 4) {
              ends.get(rank).barrier();
              continue;
            }
            byte[][] all = ends.get(rank).allGather(new byte[] {(byte) rank, (byte) round});
            for (int peer = 0; peer < size; peer++) {
              assertThat(all[peer]).containsExactly(peer, round);
            }
          }
        });
  }

  /** Lengths 0, 1 and more, another for each rank and round. */
  private static byte[] part(int rank, int round) {
    byte[] part = new byte[(rank * 7 + round) % 5 * (round % 3) * 11 + (rank + round) % 2];
    Arrays.fill(part, (byte) (rank * 31 + round));
    return part;
  }

  @Test
  void shouldOwnTheBytes_whenArraysAreChangedAfterwards() throws Exception {
    List<? extends ProcessGroup> ends = open(2, AMPLE);
    RankThreads.run(
        2,
        rank -> {
          byte[] mine = {(byte) (10 + rank)};
          byte[][] first = ends.get(rank).allGather(mine);
          mine[0] = 99;
          first[0][0] = 98;
          first[1][0] = 97;
          byte[][] second = ends.get(rank).allGather(new byte[] {(byte) (20 + rank)});
          assertThat(second[0]).containsExactly(20);
          assertThat(second[1]).containsExactly(21);
          assertThat(first[0]).containsExactly(98);
        });
  }

  @Test
  void shouldWaitForTheLast_whenBarrier() throws Exception {
    List<? extends ProcessGroup> ends = open(3, AMPLE);
    CountDownLatch lastIsHere = new CountDownLatch(1);
    RankThreads.run(
        3,
        rank -> {
          if (rank == 1) {
            Thread.sleep(100);
            lastIsHere.countDown();
          }
          ends.get(rank).barrier();
          assertThat(lastIsHere.getCount()).isZero();
        });
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 2})
  void shouldNameTheSilentRankEverywhere_whenTheDeadlinePasses(int silent) throws Exception {
    List<? extends ProcessGroup> ends = open(4, SHORT);
    long start = System.nanoTime();
    List<@Nullable Throwable> outcomes =
        RankThreads.outcomes(
            4,
            rank -> {
              if (rank != silent) {
                ends.get(rank).allGather(new byte[] {1});
              }
            });
    assertThat(Duration.ofNanos(System.nanoTime() - start)).isBetween(SHORT, PATIENCE);
    for (int rank = 0; rank < 4; rank++) {
      if (rank != silent) {
        assertThat(outcomes.get(rank))
            .isInstanceOfSatisfying(
                EpTimeoutException.class,
                e -> {
                  assertThat(e.culprit()).isEqualTo(silent);
                  assertThat(e.origin()).isNotEqualTo(silent);
                })
            .hasMessageContaining("rank " + silent + " did not answer rank");
      }
    }
    // The late rank is told the same.
    assertThatThrownBy(ends.get(silent)::barrier)
        .isInstanceOfSatisfying(
            EpTimeoutException.class, e -> assertThat(e.culprit()).isEqualTo(silent));
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1})
  void shouldNotCompleteARound_whenItsLastPartComesAfterTheVerdict(int late) throws Exception {
    // At once after the verdict, so that it meets the news of it on its way.
    for (int attempt = 0; attempt < 30; attempt++) {
      List<? extends ProcessGroup> ends = open(2, Duration.ofMillis(10));
      ProcessGroup waiting = ends.get(1 - late);
      assertThatThrownBy(waiting::barrier).isInstanceOf(EpTimeoutException.class);
      assertThatThrownBy(ends.get(late)::barrier)
          .isInstanceOfSatisfying(
              EpTimeoutException.class, e -> assertThat(e.culprit()).isEqualTo(late));
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2})
  void shouldEndEveryWaitAndLaterCall_whenARankAborts(int aborting) throws Exception {
    List<? extends ProcessGroup> ends = open(3, AMPLE);
    long start = System.nanoTime();
    List<@Nullable Throwable> outcomes =
        RankThreads.outcomes(
            3,
            rank -> {
              if (rank == aborting) {
                Thread.sleep(50);
                ends.get(rank).abort("the loss is not a number");
                ends.get(rank).abort("a second reason");
              }
              ends.get(rank).barrier();
            });
    assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(PATIENCE);
    for (int rank = 0; rank < 3; rank++) {
      assertCode(outcomes.get(rank), EpException.Code.ABORTED)
          .hasMessageContaining(
              "rank " + aborting + " aborted the group: the loss is not a number");
      ProcessGroup end = ends.get(rank);
      assertThatThrownBy(end::barrier).hasMessageContaining("the loss is not a number");
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1})
  void shouldFailTheOthersAtOnce_whenARankLeaves(int leaving) throws Exception {
    List<? extends ProcessGroup> ends = open(3, AMPLE);
    long start = System.nanoTime();
    List<@Nullable Throwable> outcomes =
        RankThreads.outcomes(
            3,
            rank -> {
              ends.get(rank).barrier();
              if (rank == leaving) {
                ends.get(rank).close();
                ends.get(rank).close();
              } else {
                ends.get(rank).barrier();
              }
            });
    assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(PATIENCE);
    assertThat(outcomes.get(leaving)).isNull();
    for (int rank = 0; rank < 3; rank++) {
      if (rank != leaving) {
        assertCode(outcomes.get(rank), EpException.Code.ABORTED)
            .hasMessageContaining("rank " + leaving + " has left the group");
      }
    }
    assertThatThrownBy(ends.get(leaving)::barrier)
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("rank " + leaving + " has closed its end of the group");
  }

  @Test
  void shouldStillComplete_whenRanksLeaveAfterTheirLastExchange() throws Exception {
    for (int attempt = 0; attempt < 20; attempt++) {
      List<? extends ProcessGroup> ends = open(4, AMPLE);
      RankThreads.run(
          4,
          rank -> {
            try (ProcessGroup end = ends.get(rank)) {
              assertThat(end.allGather(new byte[] {(byte) rank})[3]).containsExactly(3);
            }
          });
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {0, 1})
  void shouldEndTheGroup_whenAWaitingRankIsInterrupted(int interrupted) throws Exception {
    List<? extends ProcessGroup> ends = open(3, AMPLE);
    Thread[] threads = new Thread[3];
    CountDownLatch started = new CountDownLatch(2);
    List<@Nullable Throwable> outcomes =
        RankThreads.outcomes(
            3,
            rank -> {
              threads[rank] = Thread.currentThread();
              if (rank == 2) {
                assertThat(started.await(30, TimeUnit.SECONDS)).isTrue();
                Objects.requireNonNull(threads[interrupted]).interrupt();
                return;
              }
              started.countDown();
              try {
                ends.get(rank).barrier();
              } finally {
                assertThat(Thread.interrupted()).isEqualTo(rank == interrupted);
              }
            });
    assertCode(outcomes.get(interrupted), EpException.Code.INTERRUPTED);
    assertCode(outcomes.get(1 - interrupted), EpException.Code.ABORTED)
        .hasMessageContaining("rank " + interrupted + " was interrupted");
  }

  @Test
  void shouldEndTheGroup_whenARankWasInterruptedBefore() throws Exception {
    List<? extends ProcessGroup> ends = open(3, AMPLE);
    List<@Nullable Throwable> outcomes =
        RankThreads.outcomes(
            3,
            rank -> {
              if (rank == 1) {
                Thread.currentThread().interrupt();
                try {
                  ends.get(rank).barrier();
                } finally {
                  assertThat(Thread.interrupted()).isTrue();
                }
              } else if (rank == 0) {
                ends.get(rank).barrier();
              }
              // Rank 2 never comes, so that the others have to wait.
            });
    assertCode(outcomes.get(1), EpException.Code.INTERRUPTED);
    assertCode(outcomes.get(0), EpException.Code.ABORTED)
        .hasMessageContaining("rank 1 was interrupted");
  }

  @Test
  void shouldRefuseASecondThread_whenOneWaits() throws Exception {
    List<? extends ProcessGroup> ends = open(2, AMPLE);
    List<@Nullable Throwable> outcomes =
        RankThreads.outcomes(
            3,
            thread -> {
              if (thread < 2) {
                ends.get(1).barrier();
              } else {
                Thread.sleep(300);
                ends.get(0).barrier();
              }
            });
    assertThat(outcomes.stream().filter(Objects::nonNull))
        .singleElement()
        .isInstanceOfSatisfying(
            IllegalStateException.class,
            e -> assertThat(e).hasMessageContaining("used by two threads at once"));
  }

  static org.assertj.core.api.AbstractThrowableAssert<?, ? extends Throwable> assertCode(
      @Nullable Throwable failure, EpException.Code code) throws TimeoutException {
    return assertThat(failure)
        .isInstanceOfSatisfying(EpException.class, e -> assertThat(e.code()).isEqualTo(code));
  }
}
