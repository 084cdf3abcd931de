package io.github.deepep4j.internal.cuda.binding;

/** Where the result of a low-latency dispatch lies: {@code ep4j_low_latency_result}. */
public final class LowLatencyAddresses extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_low_latency_result");

  public static final int X = SHAPE.pointer("x");
  public static final int SCALES = SHAPE.pointer("scales");
  public static final int COUNT = SHAPE.pointer("count");
  public static final int SOURCE_INFO = SHAPE.pointer("source_info");
  public static final int LAYOUT_RANGE = SHAPE.pointer("layout_range");
  public static final int Y = SHAPE.pointer("y");

  /** Makes one, zeroed but for its size. */
  public LowLatencyAddresses() {
    super(SHAPE);
  }
}
