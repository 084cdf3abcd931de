package io.github.deepep4j.internal.cuda.binding;

/** Addresses of what a buffer keeps for its host to read: {@code ep4j_host_words}. */
public final class HostWords extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_host_words");

  public static final int FAULT = SHAPE.pointer("fault");
  public static final int DROP = SHAPE.pointer("drop");
  public static final int UNDELIVERED = SHAPE.pointer("undelivered");
  public static final int LATE = SHAPE.pointer("late");
  public static final int NUM_ENDS = SHAPE.pointer("num_ends");
  public static final int ENDS = SHAPE.pointer("ends");

  /** Makes one, zeroed but for its size. */
  public HostWords() {
    super(SHAPE);
  }
}
