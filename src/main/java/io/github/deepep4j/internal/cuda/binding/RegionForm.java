package io.github.deepep4j.internal.cuda.binding;

/** What the rows of a region carry: {@code ep4j_region_form}. */
public final class RegionForm extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_region_form");

  public static final int ORDER = SHAPE.int32("order");
  public static final int ROW_BYTES = SHAPE.int32("row_bytes");
  public static final int SCALE_WORDS = SHAPE.int32("scale_words");
  public static final int NUM_TOPK = SHAPE.int32("num_topk");
  public static final int INDEX_BYTES = SHAPE.int32("index_bytes");

  static {
    SHAPE.int32("reserved");
  }

  public static final int CAPACITY_ROWS = SHAPE.int64("capacity_rows");

  /** Makes one, zeroed but for its size. */
  public RegionForm() {
    super(SHAPE);
  }
}
