package io.github.deepep4j.internal.backend;

import io.github.deepep4j.DispatchLayout;
import io.github.deepep4j.Statistics;
import io.github.deepep4j.Stream;
import io.github.deepep4j.tensor.Tensor;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * One rank's end of a buffer on one backend. Calls come one at a time and only while it is open;
 * each method does what the method of the same name in {@code Buffer} promises.
 */
public interface BackendBuffer extends AutoCloseable {
  /** Counts of a routing; local. */
  DispatchLayout dispatchLayout(Tensor topkIdx);

  /** Normal-mode dispatch; collective. */
  BackendDispatch dispatch(Requests.Dispatch request);

  /** Dispatch over a handle's routing; collective. */
  BackendDispatch dispatch(Requests.CachedDispatch request);

  /** Normal-mode combine; collective. */
  BackendCombine combine(Requests.Combine request);

  /** Memory for the next combine's {@code y} that needs no staging copy; local. */
  Tensor combineInput(BackendHandle handle, @Nullable Stream stream);

  /** Low-latency dispatch; collective. */
  BackendLowLatencyDispatch lowLatencyDispatch(Requests.LowLatencyDispatch request);

  /** Low-latency combine; collective. */
  BackendCombine lowLatencyCombine(Requests.LowLatencyCombine request);

  /** Memory for the next low-latency combine's {@code y}; local. */
  Tensor lowLatencyCombineInput(BackendHandle handle, @Nullable Stream stream);

  /** Stops sending to and waiting for a rank; local. */
  void mask(int rank);

  /** Brings a rank back; collective over it and all unmasked ranks. */
  void unmask(int rank);

  /** Ranks that this one has masked. */
  Set<Integer> maskedRanks();

  /** Throws what a device or a peer has reported since the last call; local. */
  void check();

  /** Loads and touches what the first calls would otherwise wait for; local. */
  void warmUp();

  /** The stream of calls that name none. */
  Stream stream();

  /** What was done so far; local. */
  Statistics statistics();

  @Override
  void close();
}
