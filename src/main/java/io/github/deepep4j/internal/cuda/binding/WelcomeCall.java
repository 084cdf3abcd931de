package io.github.deepep4j.internal.cuda.binding;

/** The end of an unmask: {@code ep4j_welcome_call}. Arrays have 8-byte elements. */
public final class WelcomeCall extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_welcome_call");

  public static final int MEMBERS = SHAPE.int64("members");
  public static final int EPOCH = SHAPE.int64("epoch");
  public static final int DISPATCHES = SHAPE.int64("dispatches");
  public static final int LOW_LATENCY_DISPATCHES = SHAPE.int64("low_latency_dispatches");
  public static final int WAIT_NANOS = SHAPE.int64("wait_nanos");
  public static final int MASK_TAGS = SHAPE.longs("mask_tags", Abi.MAX_RANKS);
  public static final int FAILURE_TAGS = SHAPE.longs("failure_tags", Abi.MAX_RANKS);

  /** Makes one, zeroed but for its size. */
  public WelcomeCall() {
    super(SHAPE);
  }
}
