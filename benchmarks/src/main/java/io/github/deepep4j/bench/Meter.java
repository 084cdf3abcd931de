package io.github.deepep4j.bench;

/**
 * What the running benchmark has measured in its current iteration. JMH makes the profiler that
 * reports it, so the two meet here. Written and read on JMH's one benchmark thread and, between
 * iterations, on the thread that runs profilers.
 */
final class Meter {
  static final Meter CURRENT = new Meter();

  final Samples operations = new Samples();
  final Samples copies = new Samples();
  private Traffic traffic = new Traffic(0, 0, 0);

  /** Java heap that the ranks' threads have allocated in the iteration's operations. */
  long heapBytes;

  private Meter() {}

  void start(Traffic bytes) {
    traffic = bytes;
    operations.clear();
    copies.clear();
    heapBytes = 0;
  }

  Traffic traffic() {
    return traffic;
  }
}
