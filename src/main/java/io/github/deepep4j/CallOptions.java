package io.github.deepep4j;

import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * What every dispatch and combine can be told: where it runs, after what, in one half or two, and
 * how long it may wait. May differ between ranks and calls. Immutable: each setter returns a
 * changed copy.
 *
 * @param <S> the options type itself
 */
public abstract sealed class CallOptions<S extends CallOptions<S>>
    permits DispatchOptions, CombineOptions, LowLatencyDispatchOptions, LowLatencyCombineOptions {
  private @Nullable Stream stream;
  private @Nullable Event previousEvent;
  private @Nullable Duration timeout;
  private boolean hook;
  private int numSms;

  CallOptions() {}

  CallOptions(CallOptions<?> from) {
    stream = from.stream;
    previousEvent = from.previousEvent;
    timeout = from.timeout;
    hook = from.hook;
    numSms = from.numSms;
  }

  /** A copy that a setter may change before anybody sees it. */
  abstract S copy();

  /**
   * Runs all work on this stream, in order. Without it the buffer's own stream is used.
   *
   * @param value a stream of the buffer's device
   * @return changed options
   */
  public final S stream(Stream value) {
    S changed = copy();
    ((CallOptions<?>) changed).stream = value;
    return changed;
  }

  /**
   * On the buffer's own stream, starts after this event. Without it the inputs must be complete.
   *
   * @param value the event, usually of the kernel that made the inputs
   * @return changed options
   */
  public final S previousEvent(Event value) {
    S changed = copy();
    ((CallOptions<?>) changed).previousEvent = value;
    return changed;
  }

  /**
   * Returns from the call once its sends are issued; {@link ReceiveHook#receive()} completes it.
   *
   * @return changed options
   */
  public final S hook() {
    S changed = copy();
    ((CallOptions<?>) changed).hook = true;
    return changed;
  }

  /**
   * Number of streaming multiprocessors for the copying kernels. The CPU backend ignores it.
   *
   * @param value ≥ 1
   * @return changed options
   * @throws IllegalArgumentException if less than 1
   */
  public final S numSms(int value) {
    if (value < 1) {
      throw new IllegalArgumentException("numSms must be >= 1: " + value);
    }
    S changed = copy();
    ((CallOptions<?>) changed).numSms = value;
    return changed;
  }

  /**
   * Deadline of each wait on another rank in this call, instead of the buffer's.
   *
   * @param value more than zero
   * @return changed options
   * @throws IllegalArgumentException if zero or negative
   */
  public final S timeout(Duration value) {
    BufferOptions.requirePositive(value, "timeout");
    S changed = copy();
    ((CallOptions<?>) changed).timeout = value;
    return changed;
  }

  /**
   * The stream to use.
   *
   * @return null for the buffer's own
   */
  public final @Nullable Stream stream() {
    return stream;
  }

  /**
   * The event to start after.
   *
   * @return null if none
   */
  public final @Nullable Event previousEvent() {
    return previousEvent;
  }

  /**
   * This call's deadline.
   *
   * @return null for the buffer's
   */
  public final @Nullable Duration timeout() {
    return timeout;
  }

  /**
   * Whether the call is in two halves.
   *
   * @return true after {@link #hook()}
   */
  public final boolean isHook() {
    return hook;
  }

  /**
   * Streaming multiprocessors to use.
   *
   * @return 0 for the buffer's tuning configuration
   */
  public final int numSms() {
    return numSms;
  }
}
