package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.DeviceMemory;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.cuda.binding.MeasuringNative;
import io.github.deepep4j.internal.cuda.binding.RowCopyCall;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.SplittableRandom;

/**
 * The yardstick of a GPU: rows gathered in random order by some of its multiprocessors, and nothing
 * else. Owns the rows. Used by one thread.
 */
public final class RowCopy implements AutoCloseable {
  private static final long SEED = 7;

  private final Stream stream;
  private final Tensor rows;
  private final Tensor out;
  private final Tensor order;
  private final RowCopyCall call = new RowCopyCall();

  /**
   * Allocates the rows.
   *
   * @param stream of the GPU
   * @param numRows how many
   * @param rowBytes a multiple of 16
   */
  public RowCopy(Stream stream, int numRows, int rowBytes) {
    this.stream = stream;
    rows = DeviceMemory.allocate(stream.device(), DType.UINT8, numRows, rowBytes);
    out = DeviceMemory.allocate(stream.device(), DType.UINT8, numRows, rowBytes);
    try (Tensor shuffled = Tensor.copyOf(shuffled(numRows), numRows)) {
      order = DeviceMemory.copyOf(shuffled, stream.device());
    }
    call.putLong(RowCopyCall.ROWS, rows.address());
    call.putLong(RowCopyCall.OUT, out.address());
    call.putLong(RowCopyCall.ORDER, order.address());
    call.putInt(RowCopyCall.DEVICE, stream.device().index());
    call.putInt(RowCopyCall.NUM_ROWS, numRows);
    call.putInt(RowCopyCall.ROW_BYTES, rowBytes);
  }

  private static int[] shuffled(int count) {
    int[] order = new int[count];
    SplittableRandom random = new SplittableRandom(SEED);
    for (int i = 0; i < count; i++) {
      int other = random.nextInt(i + 1);
      order[i] = order[other];
      order[other] = i;
    }
    return order;
  }

  /**
   * Enqueues one copy of all rows.
   *
   * @param numSms multiprocessors to use
   */
  public void run(int numSms) {
    call.putInt(RowCopyCall.NUM_SMS, numSms);
    Natives.require(MeasuringNative.rowCopy(call.address(), stream.handle()), -1, "row copy");
  }

  @Override
  public void close() {
    DeviceMemory.synchronize(stream);
    call.close();
    rows.close();
    out.close();
    order.close();
  }
}
