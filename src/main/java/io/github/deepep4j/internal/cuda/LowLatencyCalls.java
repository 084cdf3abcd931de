package io.github.deepep4j.internal.cuda;

import org.jspecify.annotations.Nullable;

/** Which of the last calls were low-latency ones. Makes no garbage. */
final class LowLatencyCalls {
  /** More calls than a host gets ahead of its device. */
  private static final int CALLS = 256;

  private final long[] ordinals = new long[CALLS];
  private final @Nullable String[] operations = new String[CALLS];

  /** Remembers a call, which has a number above 0. */
  void add(long ordinal, String operation) {
    int place = (int) (ordinal % CALLS);
    ordinals[place] = ordinal;
    operations[place] = operation;
  }

  /** The name of a low-latency call; null for any other, and for one of long ago. */
  @Nullable String operation(long ordinal) {
    int place = (int) Long.remainderUnsigned(ordinal, CALLS);
    return ordinals[place] == ordinal ? operations[place] : null;
  }
}
