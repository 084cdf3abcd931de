package io.github.deepep4j.internal.cuda.binding;

/** What a native buffer is made for: {@code ep4j_buffer_config}. */
public final class BufferConfig extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_buffer_config");

  public static final int DEVICE = SHAPE.int32("device");
  public static final int RANK = SHAPE.int32("rank");
  public static final int NUM_RANKS = SHAPE.int32("num_ranks");
  public static final int NUM_EXPERTS = SHAPE.int32("num_experts");
  public static final int MAX_TOKENS = SHAPE.int32("max_tokens");
  public static final int MAX_TOPK = SHAPE.int32("max_topk");
  public static final int MAX_ROW_BYTES = SHAPE.int32("max_row_bytes");
  public static final int NUM_REGIONS = SHAPE.int32("num_regions");
  public static final int NUM_OUTPUTS = SHAPE.int32("num_outputs");
  public static final int MAX_HANDLES = SHAPE.int32("max_handles");
  public static final int COPY_PATH = SHAPE.int32("copy_path");
  public static final int MASK_ON_TIMEOUT = SHAPE.int32("mask_on_timeout");
  public static final int REGION_BYTES = SHAPE.int64("region_bytes");
  public static final int OUTPUT_BYTES = SHAPE.int64("output_bytes");
  public static final int ARENA_BYTES = SHAPE.int64("arena_bytes");

  /** Makes one, zeroed but for its size. */
  public BufferConfig() {
    super(SHAPE);
  }
}
