package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.TensorAllocator;
import io.github.deepep4j.internal.backend.BackendDispatch;
import io.github.deepep4j.internal.backend.OwnedTensors;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;

/**
 * Copies a result out of its region, by one kernel on a stream: rows to the caller's tensors,
 * metadata to one block of memory that lives until the result is closed; or everything to what the
 * caller's allocator makes.
 */
final class OwnedResult implements Tensor.Lifetime {
  private static final long GRAIN = 256;

  private final CudaRank rank;
  private final long stream;
  private long block;
  private long used;
  private long capacity;
  private boolean open = true;

  OwnedResult(CudaRank rank, long stream) {
    this.rank = rank;
    this.stream = stream;
  }

  /** Enqueues the copies, and returns the tensors of the copy. */
  BackendDispatch.Tensors copy(BackendDispatch.Tensors from, DispatchOptions options) {
    TensorAllocator chosen = options.allocator();
    if (chosen == null) {
      capacity = blockBytes(from, options);
      block = rank.allocate(capacity, stream);
    }
    TensorAllocator allocator = chosen == null ? this::carve : chosen;
    rank.copies.begin();
    BackendDispatch.Tensors copy =
        new OwnedTensors(rank.device, allocator, rank.copies::add)
            .copy(from, options, from.x().size(0));
    rank.copies.launch(stream, rank.numSms(options.numSms(), rank.options.tuning().dispatchSms()));
    return copy;
  }

  /** What of the result has no place yet, generously. */
  private static long blockBytes(BackendDispatch.Tensors from, DispatchOptions options) {
    long bytes = 0;
    Tensor scales = options.scalesInto() == null ? from.scales() : null;
    Tensor[] carved = {
      scales,
      from.topkIdx(),
      from.topkWeights(),
      from.sourceToken(),
      from.rankPrefix(),
      from.expertOffsets(),
      from.weight(),
      from.sourceRank(),
      from.topkSlot(),
      from.tokensPerExpert(),
      from.numReceived()
    };
    for (Tensor tensor : carved) {
      bytes += tensor == null ? 0 : grains(tensor.byteSize());
    }
    return Math.max(bytes, GRAIN);
  }

  private static long grains(long bytes) {
    return (bytes + GRAIN - 1) / GRAIN * GRAIN;
  }

  private Tensor carve(DType dtype, long... shape) {
    Tensor tensor = rank.tensor(block + used, dtype, this, shape);
    used += grains(tensor.byteSize());
    if (used > capacity) {
      throw new AssertionError("metadata of " + used + " bytes in a block of " + capacity);
    }
    return tensor;
  }

  @Override
  public void checkOpen() {
    if (!open) {
      throw new IllegalStateException("the tensor is of a closed result");
    }
  }

  /** Frees the metadata once a stream's work so far has finished. */
  void close(long readers) {
    if (open) {
      open = false;
      if (block != 0) {
        rank.free(block, readers);
      }
    }
  }
}
