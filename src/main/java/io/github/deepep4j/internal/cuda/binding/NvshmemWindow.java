package io.github.deepep4j.internal.cuda.binding;

/** A rank's window in NVSHMEM's heap: {@code ep4j_nvshmem_window}. */
public final class NvshmemWindow extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_nvshmem_window");

  public static final int BYTES = SHAPE.int64("bytes");
  public static final int FORCE_REMOTE = SHAPE.int32("force_remote");

  static {
    SHAPE.int32("reserved");
  }

  /** Makes one, zeroed but for its size. */
  public NvshmemWindow() {
    super(SHAPE);
  }
}
