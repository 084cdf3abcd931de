package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.internal.cuda.binding.Abi;

/**
 * The words that ranks compare at the start of a call, in words for people. {@code native/include/
 * ep4j.h} describes them at {@code own_call}.
 *
 * @param head operation, order, bounded, dtype, cast, index bytes, weights, weighted or LogFMT-10:
 *     a byte each
 * @param sizes row bytes and scale words
 * @param shape K and alignment
 * @param handle the call whose routing is used, 0 for none
 */
record CallWords(long head, long sizes, long shape, long handle) {
  private static final String[] OPERATIONS = {
    "nothing", "dispatch", "cached dispatch", "combine", "lowLatencyDispatch", "lowLatencyCombine"
  };
  private static final int COMBINE = 3;
  private static final int LOW_LATENCY_COMBINE = 5;
  private static final String[] CASTS = {"", " cast PLAIN", " cast ROUNDED", " cast UE8M0"};

  /** The operation's name. */
  String operation() {
    return named(OPERATIONS, field(0));
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder(operation()).append('(');
    text.append(field(2) != 0 ? "bounded, " : "");
    text.append(order());
    text.append(field(3) == Abi.BF16 ? ", BF16" : ", FP8_E4M3");
    text.append(" rows of ").append(high(sizes)).append(" bytes").append(named(CASTS, field(4)));
    if (low(sizes) > 0) {
      text.append(", ").append(low(sizes)).append(" scale words");
    }
    if (field(5) != 0) {
      text.append(", K=").append(high(shape)).append(field(5) == 8 ? " INT64" : " INT32");
    }
    boolean weights = field(6) != 0 || field(0) == LOW_LATENCY_COMBINE;
    text.append(weights ? ", with weights" : "");
    text.append(field(0) == COMBINE && field(7) != 0 ? ", weighted" : "");
    text.append(field(0) == LOW_LATENCY_COMBINE && field(7) != 0 ? ", LogFMT-10" : "");
    if (low(shape) > 1) {
      text.append(", alignment ").append(low(shape));
    }
    if (handle > 0) {
      text.append(", handle of call ").append(handle);
    }
    return text.append(')').toString();
  }

  private String order() {
    if (field(0) > COMBINE) {
      return "low-latency";
    }
    return field(1) == Abi.RANK_MAJOR ? "rank-major" : "expert-major";
  }

  private int field(int index) {
    return (int) (head >>> (8 * index)) & 0xFF;
  }

  private static int high(long pair) {
    return (int) (pair >>> 32);
  }

  private static int low(long pair) {
    return (int) pair;
  }

  private static String named(String[] names, int index) {
    return index < names.length ? names[index] : "unknown " + index;
  }
}
