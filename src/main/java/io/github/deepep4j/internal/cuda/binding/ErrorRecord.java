package io.github.deepep4j.internal.cuda.binding;

/** What a device reported first: {@code ep4j_error_record}. */
public final class ErrorRecord extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_error_record");

  public static final int FAULT = SHAPE.int32("fault");
  public static final int STAGE = SHAPE.int32("stage");
  public static final int PEER = SHAPE.int32("peer");
  public static final int ORIGIN = SHAPE.int32("origin");
  public static final int REGION = SHAPE.int32("region");
  public static final int RULE = SHAPE.int32("rule");
  public static final int TOKEN = SHAPE.int64("token");
  public static final int VALUE = SHAPE.int64("value");
  public static final int EXPECTED = SHAPE.int64("expected");
  public static final int SEEN = SHAPE.int64("seen");
  public static final int NEEDED = SHAPE.int64("needed");
  public static final int CAPACITY = SHAPE.int64("capacity");
  public static final int ORIGIN_CALL = SHAPE.longs("origin_call", 4);
  public static final int PEER_CALL = SHAPE.longs("peer_call", 4);

  /** Makes one, zeroed but for its size. */
  public ErrorRecord() {
    super(SHAPE);
  }
}
