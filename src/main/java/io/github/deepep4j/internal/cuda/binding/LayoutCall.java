package io.github.deepep4j.internal.cuda.binding;

/** Counts of one routing: {@code ep4j_layout_call}. */
public final class LayoutCall extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_layout_call");

  public static final int TOPK_IDX = SHAPE.pointer("topk_idx");
  public static final int TOKENS_PER_RANK = SHAPE.pointer("tokens_per_rank");
  public static final int TOKENS_PER_EXPERT = SHAPE.pointer("tokens_per_expert");
  public static final int TOKENS_PER_NODE = SHAPE.pointer("tokens_per_node");
  public static final int IS_TOKEN_IN_RANK = SHAPE.pointer("is_token_in_rank");
  public static final int NUM_TOKENS = SHAPE.int32("num_tokens");
  public static final int NUM_TOPK = SHAPE.int32("num_topk");
  public static final int INDEX_BYTES = SHAPE.int32("index_bytes");

  static {
    SHAPE.int32("reserved");
  }

  public static final int TICKET = SHAPE.int64("ticket");

  /** Makes one, zeroed but for its size. */
  public LayoutCall() {
    super(SHAPE);
  }
}
