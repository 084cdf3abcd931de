package io.github.deepep4j.internal.cuda;

import java.util.StringJoiner;

/**
 * Numbers of things that the native buffer has a fixed number of, and who holds them. Given back in
 * any order and taken again in the order of giving, so that the device has the longest time to
 * finish with what it last did there. Makes no garbage. Thread-safe: a handle is closed by any
 * thread.
 */
final class SlotPool {
  private final String kind;
  private final int[] free;
  private final String[] operations;
  private final long[] ordinals;
  private int first;
  private int count;

  /**
   * Makes a pool with every slot free.
   *
   * @param kind for messages
   * @param slots how many
   */
  SlotPool(String kind, int slots) {
    this.kind = kind;
    free = new int[slots];
    operations = new String[slots];
    ordinals = new long[slots];
    for (int slot = 0; slot < slots; slot++) {
      free[slot] = slot;
    }
    count = slots;
  }

  /**
   * Takes a slot.
   *
   * @param operation the call that wants it
   * @param ordinal the call's number
   * @throws IllegalStateException if none is free, naming the calls that hold them
   */
  synchronized int take(String operation, long ordinal) {
    if (count == 0) {
      throw new IllegalStateException(
          "no free "
              + kind
              + " for "
              + operation
              + " #"
              + ordinal
              + ": "
              + free.length
              + " in use by "
              + holders());
    }
    int slot = free[first];
    first = (first + 1) % free.length;
    count--;
    operations[slot] = operation;
    ordinals[slot] = ordinal;
    return slot;
  }

  /**
   * Gives a slot back.
   *
   * @param slot that was taken
   */
  synchronized void give(int slot) {
    operations[slot] = "";
    free[(first + count) % free.length] = slot;
    count++;
  }

  /** Slots that there are. */
  int slots() {
    return free.length;
  }

  /** Slots that are taken. */
  synchronized int taken() {
    return free.length - count;
  }

  private String holders() {
    StringJoiner names = new StringJoiner(", ");
    for (int slot = 0; slot < operations.length; slot++) {
      names.add(operations[slot] + " #" + ordinals[slot]);
    }
    return names.toString();
  }
}
