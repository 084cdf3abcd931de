package io.github.deepep4j.internal.cuda.binding;

/** The low-latency part of a native buffer: {@code ep4j_low_latency_config}. */
public final class LowLatencyConfig extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_low_latency_config");

  public static final int MAX_TOKENS = SHAPE.int32("max_tokens");
  public static final int HIDDEN = SHAPE.int32("hidden");
  public static final int NUM_INBOXES = SHAPE.int32("num_inboxes");
  public static final int NUM_REGIONS = SHAPE.int32("num_regions");
  public static final int NUM_OUTPUTS = SHAPE.int32("num_outputs");

  static {
    SHAPE.int32("reserved");
  }

  /** Makes one, zeroed but for its size. */
  public LowLatencyConfig() {
    super(SHAPE);
  }
}
