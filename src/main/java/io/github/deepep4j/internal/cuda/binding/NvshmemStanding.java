package io.github.deepep4j.internal.cuda.binding;

/** What this process is to NVSHMEM: {@code ep4j_nvshmem_standing}. */
public final class NvshmemStanding extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_nvshmem_standing");

  public static final int RUNNING = SHAPE.int32("running");
  public static final int ABANDONED = SHAPE.int32("abandoned");
  public static final int RANK = SHAPE.int32("rank");
  public static final int NUM_RANKS = SHAPE.int32("num_ranks");
  public static final int ABANDONED_BYTES = SHAPE.int64("abandoned_bytes");
  private static final int VERSION = SHAPE.int32s("version", 3);

  static {
    SHAPE.int32("reserved");
  }

  /** Makes one, zeroed but for its size. */
  public NvshmemStanding() {
    super(SHAPE);
  }

  /** Version of the NVSHMEM library that is loaded, as 3.4.5. */
  public String version() {
    return getInt(VERSION)
        + "."
        + getInt(VERSION + Integer.BYTES)
        + "."
        + getInt(VERSION + 2 * Integer.BYTES);
  }
}
