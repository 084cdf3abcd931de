package io.github.deepep4j.internal.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.group.LocalGroup;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicIntegerArray;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Ranks that close together, and ranks of which one does not come. Needs no GPU. */
final class ClosingVoteTest {
  private static final int NUM_RANKS = 3;
  private static final int YES = 1;
  private static final int NO = 2;

  private static BufferOptions options(long millis) {
    return BufferOptions.of(6, 64, 16).timeout(Duration.ofMillis(millis));
  }

  private static int vote(PeerWords words, long millis) {
    return new ClosingVote(words, NUM_RANKS).allCame(options(millis)) ? YES : NO;
  }

  @Test
  void shouldSayYesToAll_whenAllCome() {
    AtomicIntegerArray votes = new AtomicIntegerArray(NUM_RANKS);
    LocalGroup.run(
        NUM_RANKS,
        group -> {
          PeerWords words = PeerWords.open(group);
          Thread.sleep(30L * group.rank());
          votes.set(group.rank(), vote(words, 60_000));
          words.close();
        });
    assertThat(votes).hasToString("[1, 1, 1]");
  }

  /** The late one comes when all are there, and hears what the others have decided. */
  @Test
  void shouldSayNoToAll_whenOneComesAfterAnothersDeadline() {
    AtomicIntegerArray votes = new AtomicIntegerArray(NUM_RANKS);
    CountDownLatch decided = new CountDownLatch(NUM_RANKS - 1);
    LocalGroup.run(
        NUM_RANKS,
        group -> {
          PeerWords words = PeerWords.open(group);
          boolean isLate = group.rank() == 1;
          if (isLate) {
            assertThat(decided.await(60, TimeUnit.SECONDS)).isTrue();
          }
          votes.set(group.rank(), vote(words, isLate ? 60_000 : 50));
          decided.countDown();
          words.close();
        });
    assertThat(votes).hasToString("[2, 2, 2]");
  }

  /** However the deadline falls, nobody hears yes while another hears no. */
  @ParameterizedTest
  @ValueSource(ints = {0, 1, 2, 3, 4, 5, 6, 7})
  void shouldSayTheSameToAll_whenTheLastComesAtTheDeadline(int jitter) {
    AtomicIntegerArray votes = new AtomicIntegerArray(NUM_RANKS);
    LocalGroup.run(
        NUM_RANKS,
        group -> {
          PeerWords words = PeerWords.open(group);
          group.barrier();
          if (group.rank() == jitter % NUM_RANKS) {
            TimeUnit.MICROSECONDS.sleep(9_600 + 100L * jitter);
          }
          votes.set(group.rank(), vote(words, 10));
          group.barrier();
          words.close();
        });
    assertThat(votes).hasToString("[%1$s, %1$s, %1$s]".formatted(votes.get(0)));
  }
}
