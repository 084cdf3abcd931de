package io.github.deepep4j.bench;

/** What an operation is compared with, measured in the same run by the same ranks. */
interface Yardstick extends AutoCloseable {
  /** Adds samples of the yardstick, and of what else only this place can measure. */
  void measure(Meter meter);

  @Override
  void close();
}
