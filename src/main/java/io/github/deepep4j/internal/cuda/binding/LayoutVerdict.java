package io.github.deepep4j.internal.cuda.binding;

/** What a layout call tells about its routing: {@code ep4j_layout_verdict}. */
public final class LayoutVerdict extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_layout_verdict");

  public static final int RULE = SHAPE.int32("rule");
  public static final int TOKEN = SHAPE.int32("token");
  public static final int VALUE = SHAPE.int64("value");

  /** Makes one, zeroed but for its size. */
  public LayoutVerdict() {
    super(SHAPE);
  }
}
