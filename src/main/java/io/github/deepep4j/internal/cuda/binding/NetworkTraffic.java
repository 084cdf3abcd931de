package io.github.deepep4j.internal.cuda.binding;

/** What went between a rank and each node: {@code ep4j_network}. Arrays have 8-byte elements. */
public final class NetworkTraffic extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_network");

  public static final int ROWS_SENT = SHAPE.longs("rows_sent", Abi.MAX_RANKS);
  public static final int BYTES_SENT = SHAPE.longs("bytes_sent", Abi.MAX_RANKS);
  public static final int ROWS_COMBINED = SHAPE.longs("rows_combined", Abi.MAX_RANKS);
  public static final int BYTES_COMBINED = SHAPE.longs("bytes_combined", Abi.MAX_RANKS);

  /** Makes one, zeroed but for its size. */
  public NetworkTraffic() {
    super(SHAPE);
  }

  /**
   * Loads an element of an array.
   *
   * @param array offset
   * @param node index of the element
   */
  public long at(int array, int node) {
    return getLong(array + Long.BYTES * node);
  }
}
