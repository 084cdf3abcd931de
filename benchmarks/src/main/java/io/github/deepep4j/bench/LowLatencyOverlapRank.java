package io.github.deepep4j.bench;

import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.cuda.RowCopy;

/**
 * One rank of the overlap benchmark: a kernel of known length, a copy of rows, between the two
 * halves of a low-latency operation. Its reference is the same with the operation in one piece,
 * before the copy: what the copy has hidden is the difference.
 */
final class LowLatencyOverlapRank extends LowLatencyRank {
  private final int copySms;
  private final RowCopy copy;

  /**
   * Makes a rank.
   *
   * @param load sizes
   * @param routing of all ranks
   * @param group its end
   * @param operation dispatch or combine
   * @param compute the kernel
   */
  LowLatencyOverlapRank(
      Workload load, Routing routing, ProcessGroup group, Operation operation, Compute compute) {
    super(load, routing, group, operation);
    copySms = compute.sms();
    copy = new RowCopy(stream(), compute.rows(), 2 * load.hidden());
  }

  /**
   * What is computed.
   *
   * @param rows of H BF16 elements that are copied
   * @param sms multiprocessors that copy them
   */
  record Compute(int rows, int sms) {}

  @Override
  void open() {
    super.open();
    copy.run(copySms); // loads the kernel
    io.github.deepep4j.DeviceMemory.synchronize(stream());
  }

  @Override
  void issue() {
    if (operation == Operation.DISPATCH) {
      dispatch(dispatchOptions().hook());
      compute();
      dispatched().receive();
    } else {
      combine(outputs(), combineOptions().hook());
      compute();
      combined().receive();
    }
  }

  @Override
  void issueReference() {
    if (operation == Operation.DISPATCH) {
      dispatch(dispatchOptions());
    } else {
      combine(outputs(), combineOptions());
    }
    compute();
  }

  @Override
  boolean hasReference() {
    return true;
  }

  /** The kernel alone. */
  @Override
  void compute() {
    copy.run(copySms);
  }

  @Override
  public void close() {
    copy.close();
    super.close();
  }
}
