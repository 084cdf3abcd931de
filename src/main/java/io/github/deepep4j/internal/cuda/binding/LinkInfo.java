package io.github.deepep4j.internal.cuda.binding;

/** How one device reaches another's memory: {@code ep4j_link}. */
public final class LinkInfo extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_link");

  public static final int HAS_ACCESS = SHAPE.int32("has_access");
  public static final int HAS_ATOMICS = SHAPE.int32("has_atomics");
  public static final int RANK = SHAPE.int32("rank");

  /** Makes one, zeroed but for its size. */
  public LinkInfo() {
    super(SHAPE);
  }
}
