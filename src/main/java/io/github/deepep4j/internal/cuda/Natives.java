package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;

/** What a native status means. */
final class Natives {
  private Natives() {}

  /**
   * Throws unless a native function succeeded.
   *
   * @param status what it returned
   * @param rank this rank, −1 where there is none
   * @param operation what was asked for
   * @throws IllegalArgumentException for a broken rule; nothing was issued
   * @throws EpException {@code DEVICE} for everything else
   */
  static void require(int status, int rank, String operation) {
    if (status != Abi.OK) {
      throw failure(status, rank, operation);
    }
  }

  private static RuntimeException failure(int status, int rank, String operation) {
    String reason = Ep4jNative.lastError();
    return switch (status) {
      case Abi.INVALID_ARGUMENT -> new IllegalArgumentException(operation + ": " + reason);
      case Abi.NO_DEVICE, Abi.CUDA_ERROR ->
          new EpException(EpException.Code.DEVICE, rank, operation, reason);
      default ->
          new EpException(
              EpException.Code.DEVICE,
              rank,
              operation,
              "status " + status + ", a bug in the native library: " + reason);
    };
  }
}
