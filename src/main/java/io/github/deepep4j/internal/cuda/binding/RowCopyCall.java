package io.github.deepep4j.internal.cuda.binding;

/** One row copy: {@code ep4j_row_copy_call}. */
public final class RowCopyCall extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_row_copy_call");

  public static final int ROWS = SHAPE.pointer("rows");
  public static final int OUT = SHAPE.pointer("out");
  public static final int ORDER = SHAPE.pointer("order");
  public static final int DEVICE = SHAPE.int32("device");
  public static final int NUM_ROWS = SHAPE.int32("num_rows");
  public static final int ROW_BYTES = SHAPE.int32("row_bytes");
  public static final int NUM_SMS = SHAPE.int32("num_sms");

  /** Makes one, zeroed but for its size. */
  public RowCopyCall() {
    super(SHAPE);
  }
}
