package io.github.deepep4j.internal.cuda.binding;

/** Memory that a buffer takes: {@code ep4j_buffer_memory}. */
public final class BufferMemory extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_buffer_memory");

  public static final int CONTROL_BYTES = SHAPE.int64("control_bytes");
  public static final int DISPATCH_BYTES = SHAPE.int64("dispatch_bytes");
  public static final int COMBINE_BYTES = SHAPE.int64("combine_bytes");
  public static final int LOW_LATENCY_DISPATCH_BYTES = SHAPE.int64("low_latency_dispatch_bytes");
  public static final int LOW_LATENCY_COMBINE_BYTES = SHAPE.int64("low_latency_combine_bytes");
  public static final int PRIVATE_BYTES = SHAPE.int64("private_bytes");
  public static final int PINNED_BYTES = SHAPE.int64("pinned_bytes");

  /** Makes one, zeroed but for its size. */
  public BufferMemory() {
    super(SHAPE);
  }
}
