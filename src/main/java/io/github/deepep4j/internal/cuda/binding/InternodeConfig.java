package io.github.deepep4j.internal.cuda.binding;

/** How a native buffer's ranks share nodes: {@code ep4j_internode_config}. */
public final class InternodeConfig extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_internode_config");

  public static final int RANKS_PER_NODE = SHAPE.int32("ranks_per_node");
  public static final int STAGING_ROWS = SHAPE.int32("staging_rows");
  public static final int MAX_SCALE_WORDS = SHAPE.int32("max_scale_words");
  public static final int RESERVED = SHAPE.int32("reserved");
  public static final int SEED = SHAPE.int64("seed");

  /** Makes one, zeroed but for its size. */
  public InternodeConfig() {
    super(SHAPE);
  }
}
