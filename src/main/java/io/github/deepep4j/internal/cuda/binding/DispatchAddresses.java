package io.github.deepep4j.internal.cuda.binding;

/** Where the tensors of a dispatch lie; 0 where the form has none: {@code ep4j_dispatch_result}. */
public final class DispatchAddresses extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_dispatch_result");

  public static final int X = SHAPE.pointer("x");
  public static final int SCALES = SHAPE.pointer("scales");
  public static final int TOPK_IDX = SHAPE.pointer("topk_idx");
  public static final int TOPK_WEIGHTS = SHAPE.pointer("topk_weights");
  public static final int SOURCE_TOKEN = SHAPE.pointer("source_token");
  public static final int RANK_PREFIX = SHAPE.pointer("rank_prefix");
  public static final int EXPERT_OFFSETS = SHAPE.pointer("expert_offsets");
  public static final int WEIGHT = SHAPE.pointer("weight");
  public static final int SOURCE_RANK = SHAPE.pointer("source_rank");
  public static final int TOPK_SLOT = SHAPE.pointer("topk_slot");
  public static final int TOKENS_PER_EXPERT = SHAPE.pointer("tokens_per_expert");
  public static final int NUM_RECEIVED = SHAPE.pointer("num_received");

  /** Makes one, zeroed but for its size. */
  public DispatchAddresses() {
    super(SHAPE);
  }
}
