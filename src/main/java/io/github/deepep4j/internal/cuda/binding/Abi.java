package io.github.deepep4j.internal.cuda.binding;

/** Constants of {@code native/include/ep4j.h}; a test compares them with the header. */
public final class Abi {
  public static final int ABI_VERSION = 1;
  public static final int MAX_RANKS = 32;
  public static final int MAX_TOPK = 32;
  public static final int MAX_REGIONS = 64;
  public static final int CALL_ENDS = 512;
  public static final int MAX_OUTPUTS = 16;
  public static final int MAX_COPIES = 16;
  public static final int MAX_LOW_LATENCY = 16;
  public static final int WINDOW_NAME_BYTES = 192;

  public static final int OK = 0;
  public static final int PENDING = 1;
  public static final int INVALID_ARGUMENT = 2;
  public static final int NO_DEVICE = 3;
  public static final int CUDA_ERROR = 4;
  public static final int INTERNAL = 5;

  public static final int BF16 = 0;
  public static final int FP8_E4M3 = 1;

  public static final int CAST_NONE = 0;
  public static final int CAST_PLAIN = 1;
  public static final int CAST_ROUNDED = 2;
  public static final int CAST_UE8M0 = 3;

  public static final int RANK_MAJOR = 0;
  public static final int EXPERT_MAJOR = 1;

  public static final int COPY_AUTO = 0;

  public static final int SENT = 0;
  public static final int OVERFLOW = 1;
  public static final int REFUSED = 2;
  public static final int ABORTED = 3;

  public static final int FAULT_NONE = 0;
  public static final int FAULT_TIMEOUT = 1;
  public static final int FAULT_PEER_FAILED = 2;
  public static final int FAULT_MISMATCH = 3;
  public static final int FAULT_MASKED = 4;
  public static final int FAULT_OVERFLOW = 5;
  public static final int FAULT_REFUSED = 6;
  public static final int FAULT_OVERTAKEN = 7;
  public static final int FAULT_ABORTED = 8;
  public static final int FAULT_CLOSED = 9;

  public static final int ROUTING_GOOD = 0;
  public static final int ROUTING_OUT_OF_RANGE = 1;
  public static final int ROUTING_TWICE = 2;

  private Abi() {}
}
