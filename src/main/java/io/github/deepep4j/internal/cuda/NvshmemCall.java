package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.cuda.binding.NvshmemNative;
import java.time.Duration;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.LongSupplier;

/**
 * A call that waits inside NVSHMEM for all ranks, without a deadline of its own: made on a thread
 * that is left behind if the others do not come. NVSHMEM is abandoned then, which means that no
 * call of it is made in this process any more.
 */
final class NvshmemCall {
  private static final String RESTART =
      "; NVSHMEM is abandoned in this process, and all ranks have to be started again";

  private NvshmemCall() {}

  /**
   * Makes a call.
   *
   * @param timeout after which it is given up
   * @param rank this rank
   * @param operation what it is, for exceptions
   * @param call owns all memory that the native code is given: it may go on after this returns
   * @return what the call gives
   * @throws EpException {@code TIMEOUT} or {@code INTERRUPTED} if it was given up; and what the
   *     call throws
   */
  static long within(Duration timeout, int rank, String operation, LongSupplier call) {
    FutureTask<Long> task = new FutureTask<>(call::getAsLong);
    Thread thread = new Thread(task, "deepep4j-nvshmem");
    thread.setDaemon(true);
    thread.start();
    try {
      return task.get(timeout.toNanos(), TimeUnit.NANOSECONDS);
    } catch (ExecutionException e) {
      if (e.getCause() instanceof RuntimeException failure) {
        throw failure;
      }
      throw new EpException(EpException.Code.DEVICE, rank, operation, "" + e.getCause(), e);
    } catch (TimeoutException e) {
      throw givenUp(
          EpException.Code.TIMEOUT,
          rank,
          operation,
          "not all ranks came within " + timeout.toMillis() + " ms");
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw givenUp(
          EpException.Code.INTERRUPTED,
          rank,
          operation,
          "the thread was interrupted while it waited for all ranks");
    }
  }

  private static EpException givenUp(
      EpException.Code code, int rank, String operation, String detail) {
    NvshmemNative.stop(1);
    return new EpException(code, rank, operation, detail + RESTART);
  }
}
