package io.github.deepep4j.internal.cuda.binding;

import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.MemberGetter;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;

/**
 * Functions of {@code native/include/ep4j_nvshmem.h}. Only {@code libep4j_nvshmem.so} has them: to
 * be called in a copy of this package that has loaded it, see {@link NativeFiles}.
 */
@Platform(
    include = {"ep4j.h", "ep4j_nvshmem.h"},
    link = "ep4j",
    library = "jniep4j_nvshmem")
@NoException
public final class NvshmemNative {
  /** Bytes of a unique id: {@code EP4J_NVSHMEM_ID_BYTES}. */
  public static final int ID_BYTES = 128;

  static {
    Ep4jNative.load();
  }

  private NvshmemNative() {}

  @MemberGetter
  @Name("sizeof(ep4j_nvshmem_config)")
  static native @Cast("int") int sizeofConfig();

  @MemberGetter
  @Name("sizeof(ep4j_nvshmem_window)")
  static native @Cast("int") int sizeofWindow();

  @MemberGetter
  @Name("sizeof(ep4j_nvshmem_standing)")
  static native @Cast("int") int sizeofStanding();

  @Name("ep4j_nvshmem_create_id")
  public static native @Cast("ep4j_status") int createId(@Cast("ep4j_nvshmem_id*") long id);

  @Name("ep4j_nvshmem_start")
  public static native @Cast("ep4j_status") int start(
      @Cast("const ep4j_nvshmem_config*") long config, @Cast("const ep4j_nvshmem_id*") long id);

  @Name("ep4j_nvshmem_stop")
  public static native @Cast("ep4j_status") int stop(int abandon);

  @Name("ep4j_nvshmem_look")
  public static native @Cast("ep4j_status") int look(@Cast("ep4j_nvshmem_standing*") long standing);

  @Name("ep4j_nvshmem_window_bytes")
  public static native @Cast("ep4j_status") int windowBytes(
      @Cast("const ep4j_buffer_config*") long config,
      @Cast("const ep4j_low_latency_config*") long lowLatency,
      @Cast("int64_t*") long bytes);

  @Name("ep4j_nvshmem_buffer_create")
  public static native @Cast("ep4j_status") int bufferCreate(
      @Cast("const ep4j_buffer_config*") long config,
      @Cast("const ep4j_low_latency_config*") long lowLatency,
      @Cast("const ep4j_nvshmem_window*") long window,
      @Cast("ep4j_buffer**") long buffer);

  @Name("ep4j_nvshmem_window_bytes_internode")
  public static native @Cast("ep4j_status") int windowBytes(
      @Cast("const ep4j_buffer_config*") long config,
      @Cast("const ep4j_low_latency_config*") long lowLatency,
      @Cast("const ep4j_internode_config*") long internode,
      @Cast("int64_t*") long bytes);

  @Name("ep4j_nvshmem_buffer_create_internode")
  public static native @Cast("ep4j_status") int bufferCreate(
      @Cast("const ep4j_buffer_config*") long config,
      @Cast("const ep4j_low_latency_config*") long lowLatency,
      @Cast("const ep4j_internode_config*") long internode,
      @Cast("const ep4j_nvshmem_window*") long window,
      @Cast("ep4j_buffer**") long buffer);

  @Name("ep4j_nvshmem_reached")
  public static native @Cast("ep4j_status") int reached(
      @Cast("ep4j_buffer*") long buffer, @Cast("uint32_t*") long ranks);
}
