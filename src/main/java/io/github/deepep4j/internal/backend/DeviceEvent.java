package io.github.deepep4j.internal.backend;

import io.github.deepep4j.Event;
import io.github.deepep4j.tensor.Device;

/** An event that a stream of its device can wait for without the host. */
public interface DeviceEvent extends Event {
  /** The device it is of. */
  Device device();

  /** The device's own handle, a {@code cudaEvent_t} as an integer. */
  long handle();
}
