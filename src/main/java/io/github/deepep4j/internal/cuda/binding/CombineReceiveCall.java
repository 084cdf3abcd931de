package io.github.deepep4j.internal.cuda.binding;

/** The receiving half of one combine: {@code ep4j_combine_receive_call}. */
public final class CombineReceiveCall extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_combine_receive_call");

  public static final int OUT = SHAPE.pointer("out");
  public static final int OUT_WEIGHTS = SHAPE.pointer("out_weights");
  public static final int BIAS0 = SHAPE.pointer("bias0");
  public static final int BIAS1 = SHAPE.pointer("bias1");
  public static final int HANDLE = SHAPE.int32("handle");
  public static final int OUTPUT = SHAPE.int32("output");
  public static final int HIDDEN = SHAPE.int32("hidden");
  public static final int WEIGHTED = SHAPE.int32("weighted");
  public static final int NUM_SMS = SHAPE.int32("num_sms");

  static {
    SHAPE.int32("reserved");
  }

  public static final int TIMEOUT_NANOS = SHAPE.int64("timeout_nanos");

  /** Makes one, zeroed but for its size. */
  public CombineReceiveCall() {
    super(SHAPE);
  }
}
