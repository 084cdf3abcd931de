package io.github.deepep4j.internal.backend;

import io.github.deepep4j.Stream;

/** Memory of one device, copies from and to it, and what its streams and events have come to. */
public interface DeviceSpace {
  /**
   * Takes memory that the caller gives back.
   *
   * @param bytes at least 1
   * @return its address, a multiple of 256
   */
  long allocate(long bytes);

  /**
   * Gives memory back that no stream uses any more.
   *
   * @param address as given
   */
  void free(long address);

  /**
   * Copies and returns when the copy is done. Either side may be host memory.
   *
   * @param from source
   * @param to destination
   * @param bytes how many
   */
  void copy(long from, long to, long bytes);

  /**
   * Whether the work before an event has finished; does not block.
   *
   * @param event the device's own handle
   */
  boolean isComplete(long event);

  /**
   * Blocks until the work before an event has finished.
   *
   * @param event the device's own handle
   */
  void synchronize(long event);

  /**
   * Blocks until all work given to a stream so far has finished.
   *
   * @param stream of this device
   */
  void synchronize(Stream stream);

  /**
   * Records what the calling thread does on a stream instead of doing it.
   *
   * @param stream of this device
   * @param calls what is recorded; what it throws ends the recording
   * @return the graph's handle
   */
  long record(Stream stream, Runnable calls);

  /**
   * Does what was recorded, after the stream's work so far.
   *
   * @param graph as recorded
   * @param stream of this device
   */
  void launch(long graph, Stream stream);

  /**
   * Ends a graph that is not running.
   *
   * @param graph as recorded
   */
  void destroy(long graph);
}
