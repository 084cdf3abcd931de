package io.github.deepep4j.examples.training;

import java.util.function.Supplier;

/**
 * Adds up the time that one rank spends inside dispatch and combine, waiting for peers included.
 */
final class CommunicationClock {
  private long dispatchNanos;
  private long combineNanos;

  <T> T dispatch(Supplier<T> call) {
    long start = System.nanoTime();
    T result = call.get();
    dispatchNanos += System.nanoTime() - start;
    return result;
  }

  <T> T combine(Supplier<T> call) {
    long start = System.nanoTime();
    T result = call.get();
    combineNanos += System.nanoTime() - start;
    return result;
  }

  long dispatchNanos() {
    return dispatchNanos;
  }

  long combineNanos() {
    return combineNanos;
  }
}
