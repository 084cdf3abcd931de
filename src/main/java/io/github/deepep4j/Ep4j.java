package io.github.deepep4j;

import io.github.deepep4j.internal.backend.Backends;
import io.github.deepep4j.tensor.Device;
import java.util.List;

/** The library itself: its version and what works on this machine. */
public final class Ep4j {
  private Ep4j() {}

  /**
   * One backend's state on this machine.
   *
   * @param kind the backend
   * @param available whether buffers can be made on it
   * @param detail what was found, or each place looked in and the cause
   */
  public record BackendStatus(Device.Kind kind, boolean available, List<String> detail) {
    /**
     * Makes the list immutable.
     *
     * @param kind the backend
     * @param available whether buffers can be made on it
     * @param detail what was found
     */
    public BackendStatus {
      detail = List.copyOf(detail);
    }
  }

  /**
   * The library's version.
   *
   * @return such as {@code 0.1.0}; {@code development} when run from a class directory
   */
  public static String version() {
    String version = Ep4j.class.getPackage().getImplementationVersion();
    return version == null ? "development" : version;
  }

  /**
   * Probes every backend. Local; never throws; loads no GPU class.
   *
   * @return one status for each backend
   */
  public static List<BackendStatus> availability() {
    return Backends.statuses();
  }
}
