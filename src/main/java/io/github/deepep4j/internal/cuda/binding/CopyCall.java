package io.github.deepep4j.internal.cuda.binding;

/** Copies of one launch: {@code ep4j_copy_call}. */
public final class CopyCall extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_copy_call");

  public static final int COUNT = SHAPE.int32("count");
  public static final int NUM_SMS = SHAPE.int32("num_sms");
  public static final int FROM = SHAPE.longs("from", Abi.MAX_COPIES);
  public static final int TO = SHAPE.longs("to", Abi.MAX_COPIES);
  public static final int BYTES = SHAPE.longs("bytes", Abi.MAX_COPIES);

  /** Makes one, zeroed but for its size. */
  public CopyCall() {
    super(SHAPE);
  }
}
