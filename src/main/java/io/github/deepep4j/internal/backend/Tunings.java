package io.github.deepep4j.internal.backend;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.MeasuredTuning;
import io.github.deepep4j.internal.cuda.CudaBackend;
import io.github.deepep4j.tensor.Device;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/** Decides whether a measured tuning is for a buffer; one that is not is said once. */
final class Tunings {
  private static final System.Logger LOG = System.getLogger("io.github.deepep4j");

  /** What has been said: all ranks of a JVM would say the same, and every buffer again. */
  private static final Set<String> SAID = ConcurrentHashMap.newKeySet();

  private Tunings() {}

  /**
   * The tuning of a buffer on a device: what was measured if it was measured there, else the
   * options' own.
   */
  static MeasuredTuning choose(BufferOptions options, Device device, int numRanks) {
    int ranksPerNode = Topology.of(options, numRanks).ranksPerNode();
    MeasuredTuning here =
        new MeasuredTuning(nameOf(device), numRanks, ranksPerNode, options.tuning());
    MeasuredTuning measured = options.measuredTuning();
    if (measured == null) {
      return here;
    }
    String mismatch = measured.mismatch(here);
    if (mismatch.isEmpty()) {
      return measured;
    }
    String message = "a measured tuning is ignored, it is for something else: " + mismatch;
    if (SAID.add(message)) {
      LOG.log(System.Logger.Level.WARNING, message);
    }
    return here;
  }

  private static String nameOf(Device device) {
    return device.isCpu()
        ? "CPU with " + Runtime.getRuntime().availableProcessors() + " cores"
        : CudaBackend.deviceName(device.index());
  }
}
