package io.github.deepep4j.internal.cuda;

import java.util.ArrayList;
import java.util.List;

/** Output regions that callers fill in place. Thread-safe: a handle is closed by any thread. */
final class HandedOutputs {
  private final SlotPool outputs;
  private final List<Entry> entries = new ArrayList<>();

  /**
   * A region in the caller's hands.
   *
   * @param output its number
   * @param address where its rows begin
   * @param rowBytes of all rows
   * @param handle the dispatch whose combine it is for
   */
  private record Entry(int output, long address, long rowBytes, CudaHandle handle) {}

  HandedOutputs(SlotPool outputs) {
    this.outputs = outputs;
  }

  synchronized void add(int output, long address, long rowBytes, CudaHandle handle) {
    entries.add(new Entry(output, address, rowBytes, handle));
  }

  /**
   * Takes a region back for its combine.
   *
   * @return its number; −1 if the rows are not in one for that dispatch
   */
  synchronized int reclaim(long address, long rowBytes, CudaHandle handle) {
    for (int i = 0; i < entries.size(); i++) {
      Entry entry = entries.get(i);
      if (entry.address() == address && entry.rowBytes() >= rowBytes && entry.handle() == handle) {
        entries.remove(i);
        return entry.output();
      }
    }
    return -1;
  }

  /** Gives back what was handed out for a dispatch and never combined. */
  synchronized void discard(CudaHandle handle) {
    entries.removeIf(
        entry -> {
          boolean ends = entry.handle() == handle;
          if (ends) {
            outputs.give(entry.output());
          }
          return ends;
        });
  }
}
