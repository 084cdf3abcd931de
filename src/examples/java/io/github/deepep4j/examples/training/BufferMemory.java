package io.github.deepep4j.examples.training;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.DeviceMemory;
import io.github.deepep4j.tensor.Tensor;
import java.util.function.Function;

/**
 * Brings arrays to the buffer's device and back, so that the same code runs on either backend: this
 * model computes in Java, only dispatch and combine are on the device. On the CPU nothing is copied
 * that {@link Tensor} does not copy anyway.
 */
final class BufferMemory {
  private final Buffer buffer;

  BufferMemory(Buffer buffer) {
    this.buffer = buffer;
  }

  /** The same values on the buffer's device; takes the host tensor over. */
  Tensor place(Tensor host) {
    if (buffer.device().isCpu()) {
      return host;
    }
    try (host) {
      return DeviceMemory.copyOf(host, buffer.device());
    }
  }

  /** Writes BF16 values into a tensor that the buffer has handed out, once its readers are done. */
  Tensor write(short[] values, Tensor to) {
    if (to.device().isCpu()) {
      return to.copyFrom(values);
    }
    try (Tensor host = Tensor.copyOf(values, to.shape())) {
      DeviceMemory.synchronize(buffer.stream());
      DeviceMemory.copy(host, to);
    }
    return to;
  }

  /**
   * What a call's result holds, once the work of the buffer has finished.
   *
   * @param tensor of a result
   * @param toArray such as {@code Tensor::toFloats}
   */
  <T> T read(Tensor tensor, Function<Tensor, T> toArray) {
    if (tensor.device().isCpu()) {
      return toArray.apply(tensor);
    }
    DeviceMemory.synchronize(buffer.stream());
    try (Tensor host = DeviceMemory.toHost(tensor)) {
      return toArray.apply(host);
    }
  }
}
