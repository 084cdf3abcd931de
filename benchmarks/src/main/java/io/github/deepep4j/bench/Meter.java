package io.github.deepep4j.bench;

/**
 * What the running benchmark has measured in its current iteration. JMH makes the profiler that
 * reports it, so the two meet here. Written and read on JMH's one benchmark thread and, between
 * iterations, on the thread that runs profilers.
 */
final class Meter {
  static final Meter CURRENT = new Meter();

  /** Whole operations, until the slowest rank has its result, on the host's clock. */
  final Samples operations = new Samples();

  /** What rank 0's call takes to return, on the host's clock. */
  final Samples calls = new Samples();

  /** Operations on the GPU's clock; none on the CPU. */
  final Samples gpu = new Samples();

  /** References of operations on the GPU's clock: the same in sequence. */
  final Samples references = new Samples();

  /** What operation and reference compute, on the GPU's clock. */
  final Samples computes = new Samples();

  /** The yardstick: copies of as many bytes. */
  final Samples copies = new Samples();

  private Traffic traffic = new Traffic(0, 0, 0, 0, 0);
  private int ranks = 1;

  /** Java heap that the ranks' threads have allocated in the iteration's operations. */
  long heapBytes;

  private Meter() {}

  void start(Traffic bytes, int numRanks) {
    traffic = bytes;
    ranks = numRanks;
    operations.clear();
    calls.clear();
    gpu.clear();
    copies.clear();
    references.clear();
    computes.clear();
    heapBytes = 0;
  }

  Traffic traffic() {
    return traffic;
  }

  int ranks() {
    return ranks;
  }
}
