package io.github.deepep4j.internal.cuda.binding;

/** The sending half of one dispatch: {@code ep4j_dispatch_call}. */
public final class DispatchCall extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_dispatch_call");

  public static final int X = SHAPE.pointer("x");
  public static final int SCALES = SHAPE.pointer("scales");
  public static final int SCALE_STRIDE_TOKEN = SHAPE.int64("scale_stride_token");
  public static final int SCALE_STRIDE_WORD = SHAPE.int64("scale_stride_word");
  public static final int TOPK_IDX = SHAPE.pointer("topk_idx");
  public static final int TOPK_WEIGHTS = SHAPE.pointer("topk_weights");
  public static final int NUM_TOKENS = SHAPE.int32("num_tokens");
  public static final int HIDDEN = SHAPE.int32("hidden");
  public static final int DTYPE = SHAPE.int32("dtype");
  public static final int CAST = SHAPE.int32("cast");
  public static final int SCALE_WORDS = SHAPE.int32("scale_words");
  public static final int INDEX_BYTES = SHAPE.int32("index_bytes");
  public static final int NUM_TOPK = SHAPE.int32("num_topk");
  public static final int ORDER = SHAPE.int32("order");
  public static final int ALIGNMENT = SHAPE.int32("alignment");
  public static final int ZERO_FILL = SHAPE.int32("zero_fill");
  public static final int BOUNDED = SHAPE.int32("bounded");
  public static final int REGION = SHAPE.int32("region");
  public static final int HANDLE = SHAPE.int32("handle");
  public static final int NUM_SMS = SHAPE.int32("num_sms");
  public static final int CAPACITY_ROWS = SHAPE.int64("capacity_rows");
  public static final int TIMEOUT_NANOS = SHAPE.int64("timeout_nanos");
  public static final int TICKET = SHAPE.int64("ticket");

  /** Makes one, zeroed but for its size. */
  public DispatchCall() {
    super(SHAPE);
  }
}
