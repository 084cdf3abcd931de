package io.github.deepep4j.internal.cuda.binding;

/** Where a rank stands, as its device says: {@code ep4j_standing}. Arrays have 8-byte elements. */
public final class Standing extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_standing");

  public static final int EPOCH = SHAPE.int64("epoch");
  public static final int DISPATCHES = SHAPE.int64("dispatches");
  public static final int LOW_LATENCY_DISPATCHES = SHAPE.int64("low_latency_dispatches");
  public static final int FAILED = SHAPE.int32("failed");
  public static final int QUARANTINED = SHAPE.int32("quarantined");
  public static final int MASKED_BY = SHAPE.int64("masked_by");
  public static final int LEFT = SHAPE.int64("left");
  public static final int MASK_TAGS = SHAPE.longs("mask_tags", Abi.MAX_RANKS);
  public static final int FAILURE_TAGS = SHAPE.longs("failure_tags", Abi.MAX_RANKS);
  public static final int LATE = SHAPE.longs("late", Abi.MAX_REGIONS);
  public static final int ROWS_SENT = SHAPE.longs("rows_sent", Abi.MAX_RANKS);
  public static final int BYTES_SENT = SHAPE.longs("bytes_sent", Abi.MAX_RANKS);
  public static final int ROWS_RECEIVED = SHAPE.longs("rows_received", Abi.MAX_RANKS);
  public static final int ROWS_COMBINED = SHAPE.longs("rows_combined", Abi.MAX_RANKS);
  public static final int WAIT_NANOS = SHAPE.longs("wait_nanos", Abi.MAX_RANKS);
  public static final int LOW_LATENCY_ROWS_SENT =
      SHAPE.longs("low_latency_rows_sent", Abi.MAX_RANKS);
  public static final int LOW_LATENCY_BYTES_SENT =
      SHAPE.longs("low_latency_bytes_sent", Abi.MAX_RANKS);
  public static final int LOW_LATENCY_ROWS_RECEIVED =
      SHAPE.longs("low_latency_rows_received", Abi.MAX_RANKS);
  public static final int LOW_LATENCY_ROWS_COMBINED =
      SHAPE.longs("low_latency_rows_combined", Abi.MAX_RANKS);
  public static final int LOW_LATENCY_WAIT_NANOS =
      SHAPE.longs("low_latency_wait_nanos", Abi.MAX_RANKS);

  /** Makes one, zeroed but for its size. */
  public Standing() {
    super(SHAPE);
  }

  /**
   * Loads an element of an array.
   *
   * @param array offset
   * @param index of the element
   */
  public long at(int array, int index) {
    return getLong(array + Long.BYTES * index);
  }
}
