package io.github.deepep4j.internal.cuda.binding;

import org.bytedeco.javacpp.annotation.Cast;
import org.bytedeco.javacpp.annotation.Name;
import org.bytedeco.javacpp.annotation.NoException;
import org.bytedeco.javacpp.annotation.Platform;

/** Functions of {@code native/include/ep4j.h} for several nodes; see {@link Ep4jNative}. */
@Platform(include = "ep4j.h", link = "ep4j", library = "jniep4j")
@NoException
public final class InternodeNative {
  static {
    Ep4jNative.load();
  }

  private InternodeNative() {}

  @Name("ep4j_buffer_create_internode")
  public static native @Cast("ep4j_status") int bufferCreate(
      @Cast("const ep4j_buffer_config*") long config,
      @Cast("const ep4j_internode_config*") long internode,
      @Cast("ep4j_buffer**") long buffer);

  @Name("ep4j_internode_bytes")
  public static native @Cast("ep4j_status") int bytes(
      @Cast("const ep4j_buffer_config*") long config,
      @Cast("const ep4j_internode_config*") long internode,
      @Cast("int64_t*") long windowBytes,
      @Cast("int64_t*") long privateBytes);

  @Name("ep4j_network_traffic")
  public static native @Cast("ep4j_status") int networkTraffic(
      @Cast("ep4j_buffer*") long buffer, long waitNanos, @Cast("ep4j_network*") long network);
}
