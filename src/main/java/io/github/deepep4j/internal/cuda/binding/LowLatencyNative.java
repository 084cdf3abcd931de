package io.github.deepep4j.internal.cuda.binding;

import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;

/** Functions of {@code native/include/ep4j.h} for low-latency mode; see {@link Ep4jNative}. */
@Platform(include = "ep4j.h", link = "ep4j", library = "jniep4j")
@NoException
public final class LowLatencyNative {
  static {
    Ep4jNative.load();
  }

  private LowLatencyNative() {}

  @Name("ep4j_buffer_bytes_low_latency")
  public static native @Cast("ep4j_status") int bufferBytes(
      @Cast("const ep4j_buffer_config*") long config,
      @Cast("const ep4j_low_latency_config*") long lowLatency,
      @Cast("ep4j_buffer_memory*") long memory);

  @Name("ep4j_buffer_create_low_latency")
  public static native @Cast("ep4j_status") int bufferCreate(
      @Cast("const ep4j_buffer_config*") long config,
      @Cast("const ep4j_low_latency_config*") long lowLatency,
      @Cast("ep4j_buffer**") long buffer);

  @Name("ep4j_low_latency_blocks")
  public static native @Cast("ep4j_status") int blocks(
      @Cast("ep4j_buffer*") long buffer, @Cast("int32_t*") long blocks);

  @Name("ep4j_low_latency_dispatch")
  public static native @Cast("ep4j_status") int dispatch(
      @Cast("ep4j_buffer*") long buffer,
      @Cast("const ep4j_low_latency_dispatch_call*") long call,
      @Cast("ep4j_low_latency_result*") long result,
      @Cast("void*") long stream);

  @Name("ep4j_low_latency_dispatch_receive")
  public static native @Cast("ep4j_status") int dispatchReceive(
      @Cast("ep4j_buffer*") long buffer,
      int region,
      int numSms,
      @Cast("int64_t") long timeoutNanos,
      @Cast("void*") long stream);

  @Name("ep4j_low_latency_release")
  public static native @Cast("ep4j_status") int release(
      @Cast("ep4j_buffer*") long buffer, int region, @Cast("void*") long stream);

  @Name("ep4j_low_latency_combine_input")
  public static native @Cast("ep4j_status") int combineInput(
      @Cast("ep4j_buffer*") long buffer,
      int output,
      @Cast("int64_t") long timeoutNanos,
      @Cast("void**") long y,
      @Cast("void*") long stream);

  @Name("ep4j_low_latency_combine")
  public static native @Cast("ep4j_status") int combine(
      @Cast("ep4j_buffer*") long buffer,
      @Cast("const ep4j_low_latency_combine_call*") long call,
      @Cast("void*") long stream);

  @Name("ep4j_low_latency_combine_receive")
  public static native @Cast("ep4j_status") int combineReceive(
      @Cast("ep4j_buffer*") long buffer,
      int output,
      int numSms,
      @Cast("int64_t") long timeoutNanos,
      @Cast("void*") long stream);
}
