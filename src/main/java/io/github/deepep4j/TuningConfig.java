package io.github.deepep4j;

/**
 * Knobs that change speed and never results. May differ between ranks. Immutable. {@link
 * MeasuredTuning} keeps one in a file, with what it was measured on.
 *
 * @param dispatchSms streaming multiprocessors for dispatch, 0 for the backend's default; the CPU
 *     backend runs on the calling thread and ignores it
 * @param combineSms the same for combine
 * @param lowLatencySms the same for both low-latency operations
 * @param waitSpins polls of a host wait before it starts to yield the core; few where ranks share
 *     cores
 * @param waitYields yields of a host wait before it starts to sleep 50 µs at a time
 */
public record TuningConfig(
    int dispatchSms, int combineSms, int lowLatencySms, int waitSpins, int waitYields) {
  private static final TuningConfig DEFAULTS = new TuningConfig(0, 0, 0, 100, 1_000);

  /**
   * Checks the values.
   *
   * @param dispatchSms streaming multiprocessors for dispatch
   * @param combineSms streaming multiprocessors for combine
   * @param lowLatencySms streaming multiprocessors for low latency
   * @param waitSpins polls before a wait yields
   * @param waitYields yields before a wait sleeps
   * @throws IllegalArgumentException if one is negative
   */
  public TuningConfig {
    BufferOptions.requireAtLeast(dispatchSms, 0, "dispatchSms");
    BufferOptions.requireAtLeast(combineSms, 0, "combineSms");
    BufferOptions.requireAtLeast(lowLatencySms, 0, "lowLatencySms");
    BufferOptions.requireAtLeast(waitSpins, 0, "waitSpins");
    BufferOptions.requireAtLeast(waitYields, 0, "waitYields");
  }

  /**
   * The backend's own choice of SMs; 100 spins and 1,000 yields, measured with up to eight ranks on
   * two cores.
   *
   * @return the defaults
   */
  public static TuningConfig defaults() {
    return DEFAULTS;
  }
}
