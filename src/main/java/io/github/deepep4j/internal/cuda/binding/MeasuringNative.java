package io.github.deepep4j.internal.cuda.binding;

import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;

/** Functions of {@code native/include/ep4j.h} for benchmarks; see {@link Ep4jNative}. */
@Platform(include = "ep4j.h", link = "ep4j", library = "jniep4j")
@NoException
public final class MeasuringNative {
  static {
    Ep4jNative.load();
  }

  private MeasuringNative() {}

  @Name("ep4j_timer_create")
  public static native @Cast("ep4j_status") int timerCreate(int device, @Cast("void**") long event);

  @Name("ep4j_timer_elapsed")
  public static native @Cast("ep4j_status") int timerElapsed(
      int device, @Cast("void*") long begin, @Cast("void*") long end, @Cast("int64_t*") long nanos);

  @Name("ep4j_gate_create")
  public static native @Cast("ep4j_status") int gateCreate(
      int device, @Cast("ep4j_gate**") long gate);

  @Name("ep4j_gate_destroy")
  public static native @Cast("ep4j_status") int gateDestroy(@Cast("ep4j_gate*") long gate);

  @Name("ep4j_gate_set")
  public static native @Cast("ep4j_status") int gateSet(@Cast("ep4j_gate*") long gate, int open);

  @Name("ep4j_gate_hold")
  public static native @Cast("ep4j_status") int gateHold(
      @Cast("ep4j_gate*") long gate,
      int device,
      @Cast("int64_t") long timeoutNanos,
      @Cast("void*") long stream);

  @Name("ep4j_row_copy")
  public static native @Cast("ep4j_status") int rowCopy(
      @Cast("const ep4j_row_copy_call*") long call, @Cast("void*") long stream);
}
