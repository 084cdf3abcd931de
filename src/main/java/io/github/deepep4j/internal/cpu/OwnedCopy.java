package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.TensorAllocator;
import io.github.deepep4j.internal.backend.BackendDispatch;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

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
    return new BackendDispatch.Tensors(
        rows(from.x(), options.into(), allocator, numReceived),
        from.scales() == null
            ? null
            : rows(from.scales(), options.scalesInto(), allocator, numReceived),
        copy(from.topkIdx(), allocator),
        copy(from.topkWeights(), allocator),
        copy(from.sourceToken(), allocator),
        copy(from.rankPrefix(), allocator),
        copy(from.expertOffsets(), allocator),
        copy(from.weight(), allocator),
        copy(from.sourceRank(), allocator),
        copy(from.topkSlot(), allocator),
        copy(from.tokensPerExpert(), allocator),
        copy(from.numReceived(), allocator));
  }

  private Tensor rows(
      Tensor from, @Nullable Tensor into, TensorAllocator allocator, int numReceived) {
    if (into == null) {
      return copyTo(from, allocator.allocate(from.dtype(), from.shape()));
    }
    if (into.size(0) < from.size(0)
        || into.size(1) != from.size(1)
        || into.dtype().bytes() != from.dtype().bytes()) {
      throw new IllegalArgumentException(
          "into must hold the " + numReceived + " rows received, " + from + ": " + into);
    }
    return copyTo(from, into.rows(0, from.size(0)));
  }

  private @Nullable Tensor copy(@Nullable Tensor from, TensorAllocator allocator) {
    return from == null ? null : copyTo(from, allocator.allocate(from.dtype(), from.shape()));
  }

  private static Tensor copyTo(Tensor from, Tensor to) {
    if (to.byteSize() != from.byteSize() || !to.isContiguous() || !to.device().isCpu()) {
      throw new IllegalArgumentException("the allocator returned " + to + " for " + from);
    }
    OffHeap.copy(from.address(), to.address(), from.byteSize());
    return to;
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
