package io.github.deepep4j.internal.cuda.binding;

/** One low-latency dispatch: {@code ep4j_low_latency_dispatch_call}. */
public final class LowLatencyDispatchCall extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_low_latency_dispatch_call");

  public static final int X = SHAPE.pointer("x");
  public static final int TOPK_IDX = SHAPE.pointer("topk_idx");
  public static final int RECEIVE_STATS = SHAPE.pointer("receive_stats");
  public static final int WAIT_NANOS = SHAPE.pointer("wait_nanos");
  public static final int NUM_TOKENS = SHAPE.int32("num_tokens");
  public static final int NUM_TOPK = SHAPE.int32("num_topk");
  public static final int INDEX_BYTES = SHAPE.int32("index_bytes");
  public static final int CAST = SHAPE.int32("cast");
  public static final int REGION = SHAPE.int32("region");
  public static final int OUTPUT = SHAPE.int32("output");
  public static final int NUM_SMS = SHAPE.int32("num_sms");
  public static final int HOOK = SHAPE.int32("hook");
  public static final int TIMEOUT_NANOS = SHAPE.int64("timeout_nanos");

  /** Makes one, zeroed but for its size. */
  public LowLatencyDispatchCall() {
    super(SHAPE);
  }
}
