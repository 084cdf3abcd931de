package io.github.deepep4j.gpu;

import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/** Every byte that one rank got from a sequence of calls, by name. */
final class Capture {
  private final Map<String, byte[]> contents = new LinkedHashMap<>();

  /** Keeps a tensor's bytes; its shape is part of the name. */
  void add(String name, Tensor tensor) {
    contents.put(
        name + " " + tensor.dtype() + Arrays.toString(tensor.shape()),
        TestDevice.read(tensor, Capture::bytes));
  }

  /** Keeps host numbers. */
  void add(String name, int... values) {
    contents.put(name + " " + Arrays.toString(values), new byte[0]);
  }

  /** Compares with what another backend gave; names the first byte that differs. */
  void requireSame(String what, Capture other) {
    if (!contents.keySet().equals(other.contents.keySet())) {
      throw new AssertionError(
          what + ": " + contents.keySet() + " here, " + other.contents.keySet() + " there");
    }
    contents.forEach(
        (name, bytes) -> {
          byte[] there = other.contents.getOrDefault(name, new byte[0]);
          int mismatch = Arrays.mismatch(bytes, there);
          if (mismatch >= 0) {
            throw new AssertionError(
                what
                    + ": "
                    + name
                    + " differs from byte "
                    + mismatch
                    + ": "
                    + bytes[mismatch]
                    + " here, "
                    + there[mismatch]
                    + " there");
          }
        });
  }

  private static byte[] bytes(Tensor tensor) {
    byte[] bytes = new byte[Math.toIntExact(tensor.byteSize())];
    OffHeap.copyToArray(tensor.address(), bytes, 0, bytes.length);
    return bytes;
  }
}
