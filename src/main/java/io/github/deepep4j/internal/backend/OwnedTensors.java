package io.github.deepep4j.internal.backend;

import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.TensorAllocator;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/**
 * Copies a dispatch's result out of its region, once for all backends: rows to the caller's tensors
 * where it gave some, all else to what an allocator makes.
 *
 * @param device that every tensor must be on
 * @param allocator makes what the caller gave no tensor for
 * @param copier moves the bytes
 */
public record OwnedTensors(Device device, TensorAllocator allocator, Copier copier) {
  /** Moves bytes on the device. */
  @FunctionalInterface
  public interface Copier {
    /** Copies, or enqueues the copy. */
    void copy(long from, long to, long bytes);
  }

  /**
   * Copies everything that a result has.
   *
   * @param from the result in its region
   * @param options where the caller wants rows and scales
   * @param numReceived rows received, for the message where they do not fit
   * @return the tensors of the copy
   */
  public BackendDispatch.Tensors copy(
      BackendDispatch.Tensors from, DispatchOptions options, long numReceived) {
    Tensor scales = from.scales();
    return new BackendDispatch.Tensors(
        rows(from.x(), options.into(), numReceived),
        scales == null ? null : rows(scales, options.scalesInto(), numReceived),
        copy(from.topkIdx()),
        copy(from.topkWeights()),
        copy(from.sourceToken()),
        copy(from.rankPrefix()),
        copy(from.expertOffsets()),
        copy(from.weight()),
        copy(from.sourceRank()),
        copy(from.topkSlot()),
        copy(from.tokensPerExpert()),
        copy(from.numReceived()));
  }

  private Tensor rows(Tensor from, @Nullable Tensor into, long numReceived) {
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

  private @Nullable Tensor copy(@Nullable Tensor from) {
    return from == null ? null : copyTo(from, allocator.allocate(from.dtype(), from.shape()));
  }

  private Tensor copyTo(Tensor from, Tensor to) {
    if (to.byteSize() != from.byteSize() || !to.isContiguous() || !to.device().equals(device)) {
      throw new IllegalArgumentException("the allocator returned " + to + " for " + from);
    }
    copier.copy(from.address(), to.address(), from.byteSize());
    return to;
  }
}
