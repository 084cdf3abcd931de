package io.github.deepep4j.internal.backend;

import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.memory.OffHeap;

/** The host's memory and its one stream, the calling thread. */
final class HostSpace implements DeviceSpace {
  static final HostSpace INSTANCE = new HostSpace();

  private HostSpace() {}

  @Override
  public long allocate(long bytes) {
    throw new AssertionError("host tensors allocate for themselves");
  }

  @Override
  public void free(long address) {
    throw new AssertionError("host tensors free for themselves");
  }

  @Override
  public void copy(long from, long to, long bytes) {
    OffHeap.copy(from, to, bytes);
  }

  @Override
  public boolean isComplete(long event) {
    return true;
  }

  @Override
  public void synchronize(long event) {}

  @Override
  public void synchronize(Stream stream) {}

  @Override
  public long record(Stream stream, Runnable calls) {
    throw noGraphs();
  }

  @Override
  public void launch(long graph, Stream stream) {
    throw noGraphs();
  }

  @Override
  public void destroy(long graph) {
    throw noGraphs();
  }

  private static IllegalArgumentException noGraphs() {
    return new IllegalArgumentException("stream must be a GPU's: the CPU does all work at once");
  }
}
