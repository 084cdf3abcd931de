package io.github.deepep4j.internal.backend;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.Ep4j;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.tensor.Device;

/** Something that buffers can run on. */
public interface Backend {
  /** Whether it works here, and if not what was tried; never throws. */
  Ep4j.BackendStatus status();

  /**
   * Makes this rank's end of a buffer. Collective: every rank that comes here returns or throws.
   *
   * @param group the members
   * @param options agreed by all of them
   * @param device the device of this rank, of this backend's kind
   */
  BackendBuffer createBuffer(ProcessGroup group, BufferOptions options, Device device);
}
