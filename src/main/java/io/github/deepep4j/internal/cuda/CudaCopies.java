package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.CopyCall;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;

/**
 * Copies on the device, collected and then launched as one kernel. A copy engine would do them,
 * too, but its queues are shared by the ranks of a process: a copy that stands there behind a
 * kernel that waits for a peer would hold up that peer's copies.
 */
final class CudaCopies implements AutoCloseable {
  private final CudaRank rank;
  private final CopyCall call = new CopyCall();
  private int count;

  CudaCopies(CudaRank rank) {
    this.rank = rank;
  }

  /** Forgets what was collected and not launched. */
  void begin() {
    count = 0;
  }

  /**
   * Collects a copy; its places are on the device and do not overlap.
   *
   * @param from address
   * @param to address
   * @param bytes any number
   */
  void add(long from, long to, long bytes) {
    if (count == Abi.MAX_COPIES) {
      throw new AssertionError("a result has more tensors than " + Abi.MAX_COPIES);
    }
    int at = count++ * Long.BYTES;
    call.putLong(CopyCall.FROM + at, from);
    call.putLong(CopyCall.TO + at, to);
    call.putLong(CopyCall.BYTES + at, bytes);
  }

  /**
   * Launches what was collected.
   *
   * @param stream that orders it
   * @param numSms blocks of the kernel, 0 for the default
   */
  void launch(long stream, int numSms) {
    call.putInt(CopyCall.COUNT, count);
    call.putInt(CopyCall.NUM_SMS, numSms);
    count = 0;
    rank.require(Ep4jNative.copy(rank.buffer, call.address(), stream), "device copy");
  }

  @Override
  public void close() {
    call.close();
  }
}
