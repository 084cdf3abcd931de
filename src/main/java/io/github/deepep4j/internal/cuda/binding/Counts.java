package io.github.deepep4j.internal.cuda.binding;

/** What a counted, unbounded dispatch tells the host: {@code ep4j_counts}. */
public final class Counts extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_counts");

  public static final int VERDICT = SHAPE.int32("verdict");
  public static final int NUM_RECEIVED = SHAPE.int32("num_received");
  public static final int ORIGIN = SHAPE.int32("origin");
  public static final int RULE = SHAPE.int32("rule");
  public static final int NEEDED = SHAPE.int64("needed");
  public static final int CAPACITY = SHAPE.int64("capacity");
  public static final int TOKEN = SHAPE.int32("token");

  static {
    SHAPE.int32("reserved");
  }

  public static final int VALUE = SHAPE.int64("value");

  /** Makes one, zeroed but for its size. */
  public Counts() {
    super(SHAPE);
  }
}
