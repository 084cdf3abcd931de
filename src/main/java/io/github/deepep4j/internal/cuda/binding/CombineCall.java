package io.github.deepep4j.internal.cuda.binding;

/** The sending half of one combine: {@code ep4j_combine_call}. */
public final class CombineCall extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_combine_call");

  public static final int Y = SHAPE.pointer("y");
  public static final int TOPK_WEIGHTS = SHAPE.pointer("topk_weights");
  public static final int HANDLE = SHAPE.int32("handle");
  public static final int OUTPUT = SHAPE.int32("output");
  public static final int ROWS = SHAPE.int32("rows");
  public static final int HIDDEN = SHAPE.int32("hidden");
  public static final int WEIGHTED = SHAPE.int32("weighted");
  public static final int NUM_SMS = SHAPE.int32("num_sms");
  public static final int TIMEOUT_NANOS = SHAPE.int64("timeout_nanos");
  public static final int RECEIVE_FOLLOWS = SHAPE.int32("receive_follows");

  static {
    SHAPE.int32("reserved");
  }

  /** Makes one, zeroed but for its size. */
  public CombineCall() {
    super(SHAPE);
  }
}
