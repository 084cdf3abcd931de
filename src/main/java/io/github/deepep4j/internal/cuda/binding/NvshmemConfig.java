package io.github.deepep4j.internal.cuda.binding;

/** How a process joins NVSHMEM: {@code ep4j_nvshmem_config}. */
public final class NvshmemConfig extends NativeStruct {
  static final Shape SHAPE = new Shape("ep4j_nvshmem_config");

  public static final int DEVICE = SHAPE.int32("device");
  public static final int RANK = SHAPE.int32("rank");
  public static final int NUM_RANKS = SHAPE.int32("num_ranks");
  public static final int SERVICE_LEVEL = SHAPE.int32("service_level");
  public static final int QPS_PER_RANK = SHAPE.int32("qps_per_rank");
  public static final int IBGDA = SHAPE.int32("ibgda");
  public static final int HEAP_BYTES = SHAPE.int64("heap_bytes");
  public static final int RELEASE_TIMEOUT_NANOS = SHAPE.int64("release_timeout_nanos");
  public static final int HCA_LIST = SHAPE.pointer("hca_list");

  /** Makes one, zeroed but for its size. */
  public NvshmemConfig() {
    super(SHAPE);
  }
}
