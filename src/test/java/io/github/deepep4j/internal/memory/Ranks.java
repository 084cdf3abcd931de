package io.github.deepep4j.internal.memory;

import io.github.deepep4j.group.ProcessGroup;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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

/** Runs a test's ranks as threads and gives each one's failure, or null, by rank. */
final class Ranks {
  /** What a rank does. */
  @FunctionalInterface
  interface Body {
    /**
     * Runs a rank.
     *
     * @param group its group
     * @throws Exception fails the rank
     */
    void run(ProcessGroup group) throws Exception;
  }

  private Ranks() {}

  /**
   * Runs ranks to their ends.
   *
   * @param directory an empty directory
   * @param size ranks
   * @param body what each does
   * @return failures by rank
   */
  static List<@Nullable Throwable> outcomes(Path directory, int size, Body body)
      throws IOException, InterruptedException, TimeoutException {
    Path exchange = Files.createDirectories(directory);
    ExecutorService threads = Executors.newFixedThreadPool(size);
    try {
      List<Future<?>> running = new ArrayList<>();
      for (int rank = 0; rank < size; rank++) {
        ProcessGroup group = new DirectoryGroup(exchange, rank, size);
        Callable<@Nullable Void> call =
            () -> {
              body.run(group);
              return null;
            };
        running.add(threads.submit(call));
      }
      List<@Nullable Throwable> outcomes = new ArrayList<>();
      for (Future<?> rank : running) {
        try {
          rank.get(120, TimeUnit.SECONDS);
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
   * @param directory an empty directory
   * @param size ranks
   * @param body what each does
   */
  static void run(Path directory, int size, Body body)
      throws IOException, InterruptedException, TimeoutException {
    List<@Nullable Throwable> outcomes = outcomes(directory, size, body);
    AssertionError failure = null;
    for (int rank = 0; rank < size; rank++) {
      Throwable outcome = outcomes.get(rank);
      if (outcome != null && failure == null) {
        failure = new AssertionError("rank " + rank + " failed", outcome);
      } else if (outcome != null && failure != null) {
        failure.addSuppressed(outcome);
      }
    }
    if (failure != null) {
      throw failure;
    }
  }
}
