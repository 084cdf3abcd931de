package io.github.deepep4j;

import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;

/** Makes the memory of an owned result, when its size is known. */
@FunctionalInterface
public interface TensorAllocator {
  /**
   * Returns a contiguous tensor on the buffer's device. Called on the thread of the call that needs
   * it; must not call the buffer.
   *
   * @param dtype element type
   * @param shape sizes
   * @return memory that the caller owns
   */
  Tensor allocate(DType dtype, long... shape);
}
