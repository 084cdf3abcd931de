package io.github.deepep4j;

import io.github.deepep4j.internal.backend.Backends;
import io.github.deepep4j.internal.backend.DeviceSpace;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Calls recorded once and launched many times without the host's work for each: a CUDA graph. The
 * recorded calls read their inputs where they lay, so routing and rows may change between launches.
 *
 * <pre>{@code
 * DeviceGraph graph = DeviceGraph.record(stream, () -> {
 *   rows = buffer.dispatch(x, topkIdx, weights, bounded.stream(stream));
 *   sums = buffer.combine(rows.x(), rows.handle(), CombineOptions.defaults().into(out).stream(stream));
 * });
 * for (...) {
 *   // change x and topkIdx
 *   graph.launch(stream);
 * }
 * }</pre>
 *
 * <p>What can be recorded: bounded and cached dispatches with borrowed results, low-latency
 * dispatches, combines of both modes {@link CombineOptions#into into} the caller's tensor, all on
 * the recorded stream. A recorded result stays open, and its region taken, as long as the graph is
 * used; its {@code event()} says nothing of launches. Every rank must launch as it would make the
 * calls. Not thread-safe.
 */
public final class DeviceGraph implements AutoCloseable {
  private final DeviceSpace space;
  private final Stream recorded;
  private final long graph;
  private final AtomicBoolean closed = new AtomicBoolean();

  private DeviceGraph(DeviceSpace space, Stream recorded, long graph) {
    this.space = space;
    this.recorded = recorded;
    this.graph = graph;
  }

  /**
   * Records. Local, and the calls in it are not entered before a launch. Blocks until the stream's
   * work so far has finished: no rank may be waiting for this one.
   *
   * @param stream a GPU's, which the calls name
   * @param calls what is recorded; it runs once, on the calling thread
   * @return the graph, to be closed
   * @throws IllegalArgumentException if the stream is the CPU's
   * @throws io.github.deepep4j.error.EpException {@code DEVICE} if something in {@code calls}
   *     cannot be recorded
   */
  public static DeviceGraph record(Stream stream, Runnable calls) {
    Objects.requireNonNull(calls, "calls");
    DeviceSpace space = Backends.space(stream.device());
    return new DeviceGraph(space, stream, space.record(stream, calls));
  }

  /**
   * Makes the recorded calls. Collective as they are; stream-ordered; does not block.
   *
   * @param stream of the same device
   * @throws IllegalStateException if the graph was closed
   * @throws IllegalArgumentException if the stream is another device's
   */
  public void launch(Stream stream) {
    if (closed.get()) {
      throw new IllegalStateException("the graph was closed");
    }
    if (!stream.device().equals(recorded.device())) {
      throw new IllegalArgumentException(
          "stream must be of " + recorded.device() + ": " + stream.device());
    }
    space.launch(graph, stream);
  }

  /** Ends the graph, which must not be running. Closing twice does nothing. */
  @Override
  public void close() {
    if (closed.compareAndSet(false, true)) {
      space.destroy(graph);
    }
  }
}
