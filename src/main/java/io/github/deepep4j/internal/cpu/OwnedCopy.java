package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.TensorAllocator;
import io.github.deepep4j.internal.backend.BackendDispatch;
import io.github.deepep4j.internal.backend.OwnedTensors;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/**
 * Copies a result out of its region: rows to the caller's tensors, metadata to memory of its own
 * that lives until the result is closed; or everything to what the caller's allocator makes.
 */
final class OwnedCopy implements Tensor.Lifetime {
  private final LocalMemory pool;
  private final List<Memory> blocks = new ArrayList<>();
  private boolean open = true;

  OwnedCopy(LocalMemory pool) {
    this.pool = pool;
  }

  /** Copies, and returns the tensors of the copy. */
  BackendDispatch.Tensors of(
      BackendDispatch.Tensors from, DispatchOptions options, int numReceived) {
    TensorAllocator allocator = options.allocator() == null ? this::own : options.allocator();
    return new OwnedTensors(Device.cpu(), allocator, OffHeap::copy)
        .copy(from, options, numReceived);
  }

  private Tensor own(DType dtype, long... shape) {
    long elements = 1;
    for (long size : shape) {
      elements *= size;
    }
    Memory block = pool.take(elements * dtype.bytes());
    blocks.add(block);
    return Tensor.ofAddress(block.address(), dtype, Device.cpu(), this, shape);
  }

  @Override
  public void checkOpen() {
    if (!open) {
      throw new IllegalStateException("the tensor is of a closed result");
    }
  }

  void close() {
    if (open) {
      open = false;
      blocks.forEach(pool::give);
    }
  }
}
