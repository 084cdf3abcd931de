package io.github.deepep4j.group;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.error.EpException;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;

/** A group of threads. */
final class LocalGroupTest extends ProcessGroupContract {
  @Override
  List<LocalGroup> form(int size, Duration timeout) {
    return LocalGroup.create(size, timeout);
  }

  @Test
  void shouldRunEveryRankOnItsOwnThread_whenRun() {
    Set<String> seen = ConcurrentHashMap.newKeySet();
    LocalGroup.run(
        8,
        group -> {
          seen.add(Thread.currentThread().getName() + " of " + group.size());
          group.barrier();
        });
    assertThat(seen).hasSize(8).contains("deepep4j-rank-0 of 8", "deepep4j-rank-7 of 8");
  }

  @Test
  void shouldStayInStep_whenManyRounds() {
    LocalGroup.run(
        8,
        group -> {
          for (int round = 0; round < 2_000; round++) {
            byte[][] all = group.allGather(new byte[] {(byte) round, (byte) (round >> 8)});
            for (byte[] part : all) {
              assertThat(part[0]).isEqualTo((byte) round);
              assertThat(part[1]).isEqualTo((byte) (round >> 8));
            }
          }
        });
  }

  @Test
  void shouldReportTheFirstFailureAndEndTheOthers_whenARankFails() {
    AtomicInteger ended = new AtomicInteger();
    assertThatThrownBy(
            () ->
                LocalGroup.run(
                    4,
                    group -> {
                      try {
                        if (group.rank() == 2) {
                          throw new java.io.IOException("no data");
                        }
                        group.barrier();
                      } finally {
                        ended.incrementAndGet();
                      }
                    }))
        .isInstanceOfSatisfying(
            EpException.class,
            e -> {
              assertThat(e.rank()).isEqualTo(2);
              assertThat(e.code()).isEqualTo(EpException.Code.ABORTED);
              assertThat(e).hasMessageContaining("no data");
              assertThat(e.getCause()).isInstanceOf(java.io.IOException.class);
              assertThat(e.getCause().getSuppressed())
                  .hasSize(3)
                  .allSatisfy(
                      other -> assertThat(other).hasMessageContaining("rank 2 failed").isNotNull());
            });
    assertThat(ended).hasValue(4);
  }

  @Test
  void shouldFailTheOthers_whenARankReturnsEarly() {
    assertThatThrownBy(
            () ->
                LocalGroup.run(
                    3,
                    group -> {
                      if (group.rank() != 1) {
                        group.barrier();
                      }
                    }))
        .isInstanceOf(EpException.class)
        .hasMessageContaining("rank 1 has left the group");
  }

  @Test
  void shouldInterruptEveryRank_whenTheCallerIsInterrupted() throws InterruptedException {
    CountDownLatch running = new CountDownLatch(3);
    AtomicReference<Throwable> failure = new AtomicReference<>();
    AtomicReference<Boolean> flag = new AtomicReference<>(false);
    Thread caller =
        new Thread(
            () -> {
              try {
                LocalGroup.run(
                    3,
                    group -> {
                      running.countDown();
                      Thread.sleep(60_000);
                    });
              } catch (EpException e) {
                failure.set(e);
                flag.set(Thread.currentThread().isInterrupted());
              }
            });
    caller.start();
    assertThat(running.await(30, TimeUnit.SECONDS)).isTrue();
    caller.interrupt();
    caller.join(30_000);
    assertThat(caller.isAlive()).isFalse();
    assertThat(failure.get())
        .isInstanceOfSatisfying(
            EpException.class, e -> assertThat(e.code()).isEqualTo(EpException.Code.INTERRUPTED));
    assertThat(flag.get()).isTrue();
  }

  @Test
  void shouldNameTheRule_whenArgumentsBreakIt() {
    assertThatThrownBy(() -> LocalGroup.create(0))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("size must be >= 1: 0");
    assertThatThrownBy(() -> LocalGroup.create(2, Duration.ZERO))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessage("timeout must be more than zero: PT0S");
  }
}
