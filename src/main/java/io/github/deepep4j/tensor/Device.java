package io.github.deepep4j.tensor;

/**
 * Where memory lives and work runs. A value: two devices with the same kind and index are equal.
 *
 * @param kind CPU or CUDA
 * @param index the CUDA ordinal in this process; 0 for the CPU
 */
public record Device(Kind kind, int index) {
  private static final Device CPU = new Device(Kind.CPU, 0);

  /** The two kinds of device. */
  public enum Kind {
    /** Host memory, worked on by the calling threads. */
    CPU,
    /** Memory of an NVIDIA GPU. */
    CUDA
  }

  /**
   * Checks the index.
   *
   * @param kind what it is
   * @param index which one
   * @throws IllegalArgumentException if the index is negative, or not 0 on the CPU
   */
  public Device {
    if (index < 0 || (kind == Kind.CPU && index != 0)) {
      throw new IllegalArgumentException("no such device: " + kind + " index " + index);
    }
  }

  /**
   * The host.
   *
   * @return the CPU device
   */
  public static Device cpu() {
    return CPU;
  }

  /**
   * A GPU, whether or not it exists here.
   *
   * @param ordinal its CUDA ordinal, ≥ 0
   * @return the device
   * @throws IllegalArgumentException if the ordinal is negative
   */
  public static Device cuda(int ordinal) {
    return new Device(Kind.CUDA, ordinal);
  }

  /**
   * Whether this is the host.
   *
   * @return true for the CPU
   */
  public boolean isCpu() {
    return kind == Kind.CPU;
  }

  @Override
  public String toString() {
    return isCpu() ? "cpu" : "cuda:" + index;
  }
}
