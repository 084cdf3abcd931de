package io.github.deepep4j.group;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/** Runs one thread per rank and gives each one's failure, or null, by rank. */
final class RankThreads {
  private static final long PATIENCE_SECONDS = 100;

  /** What a rank does. */
  @FunctionalInterface
  interface Body {
    /**
     * Runs a rank.
     *
     * @param rank which
     * @throws Exception fails the rank
     */
    void run(int rank) throws Exception;
  }

  private RankThreads() {}

  /**
   * Runs ranks to their ends, good or bad.
   *
   * @param size ranks
   * @param body what each does
   * @return failures by rank
   */
  static List<@Nullable Throwable> outcomes(int size, Body body)
      throws InterruptedException, TimeoutException {
    ExecutorService threads = Executors.newFixedThreadPool(size);
    try {
      List<Future<?>> running = new ArrayList<>();
      for (int rank = 0; rank < size; rank++) {
        int self = rank;
        Callable<@Nullable Void> call =
            () -> {
              body.run(self);
              return null;
            };
        running.add(threads.submit(call));
      }
      List<@Nullable Throwable> outcomes = new ArrayList<>();
      for (Future<?> rank : running) {
        try {
          rank.get(PATIENCE_SECONDS, TimeUnit.SECONDS);
          outcomes.add(null);
        } catch (ExecutionException e) {
          outcomes.add(e.getCause());
        }
      }
      return outcomes;
    } finally {
      threads.shutdownNow();
    }
  }

  /**
   * Runs ranks that must all succeed.
   *
   * @param size ranks
   * @param body what each does
   */
  static void run(int size, Body body) throws InterruptedException, TimeoutException {
    List<@Nullable Throwable> outcomes = outcomes(size, body);
    AssertionError failure = null;
    for (int rank = 0; rank < size; rank++) {
      Throwable outcome = outcomes.get(rank);
      if (outcome != null) {
        AssertionError named = new AssertionError("rank " + rank + ": " + outcome, outcome);
        if (failure == null) {
          failure = named;
        } else {
          failure.addSuppressed(named);
        }
      }
    }
    if (failure != null) {
      throw failure;
    }
  }
}
