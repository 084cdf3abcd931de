package io.github.deepep4j.internal.cuda.binding;

/** One low-latency combine: {@code ep4j_low_latency_combine_call}. */
public final class LowLatencyCombineCall extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_low_latency_combine_call");

  public static final int Y = SHAPE.pointer("y");
  public static final int TOPK_WEIGHTS = SHAPE.pointer("topk_weights");
  public static final int OUT = SHAPE.pointer("out");
  public static final int REGION = SHAPE.int32("region");
  public static final int OUTPUT = SHAPE.int32("output");
  public static final int LOG_FMT = SHAPE.int32("log_fmt");
  public static final int NUM_SMS = SHAPE.int32("num_sms");
  public static final int HOOK = SHAPE.int32("hook");
  static final int RESERVED = SHAPE.int32("reserved");
  public static final int TIMEOUT_NANOS = SHAPE.int64("timeout_nanos");

  /** Makes one, zeroed but for its size. */
  public LowLatencyCombineCall() {
    super(SHAPE);
  }
}
