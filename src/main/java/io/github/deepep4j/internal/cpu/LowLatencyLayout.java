package io.github.deepep4j.internal.cpu;

/**
 * One low-latency dispatch region. Senders write row i for local expert e into slot (e, sender, i);
 * the receiver closes the gaps in place, which moves rows only towards the front.
 *
 * <pre>
 *   x           [localExperts, n, M] slots of 2·H bytes, then packed [localExperts, n·M, rowBytes]
 *   wireScales  [localExperts, n, M] slots of words, as sent: one row's words together
 *   origins     [localExperts, n, M] int32          token in its source, as sent
 *   scales      [localExperts, scaleWords, n·M]     as grouped GEMMs read them
 *   sourceInfo  [localExperts, n·M] int32
 *   layoutRange [localExperts, n] int64
 *   count       [localExperts] int32
 * </pre>
 *
 * <p>Slots have the size of the widest row, whatever the call sends: so a sender never writes to
 * another one's slots, not even when it is masked and late by several calls.
 *
 * @param numRanks n
 * @param localExperts experts per rank
 * @param maxTokens M
 * @param hidden H
 */
record LowLatencyLayout(int numRanks, int localExperts, int maxTokens, int hidden) {
  /** Bytes of one row's slot. */
  long slotBytes() {
    return 2L * hidden;
  }

  /** Bytes of one row's scale slot: a word per 128 channels at most. */
  long scaleSlotBytes() {
    return 4L * ((hidden + 127) / 128);
  }

  /** Slots of one local expert: n·M. */
  long rowsPerExpert() {
    return (long) numRanks * maxTokens;
  }

  /** Index of the first slot of a sender. */
  long slot(int localExpert, int sender) {
    return localExpert * rowsPerExpert() + (long) sender * maxTokens;
  }

  private long slots() {
    return localExperts * rowsPerExpert();
  }

  long x() {
    return 0;
  }

  private long xEnd() {
    return ControlLayout.lines(slots() * slotBytes());
  }

  long wireScales() {
    return xEnd();
  }

  private long wireScalesEnd() {
    return wireScales() + ControlLayout.lines(slots() * scaleSlotBytes());
  }

  long origins() {
    return wireScalesEnd();
  }

  private long originsEnd() {
    return origins() + ControlLayout.lines(slots() * 4);
  }

  long scales() {
    return originsEnd();
  }

  private long scalesEnd() {
    return scales() + ControlLayout.lines(slots() * scaleSlotBytes());
  }

  long sourceInfo() {
    return scalesEnd();
  }

  private long sourceInfoEnd() {
    return sourceInfo() + ControlLayout.lines(slots() * 4);
  }

  long layoutRange() {
    return sourceInfoEnd();
  }

  private long layoutRangeEnd() {
    return layoutRange() + ControlLayout.lines(8L * localExperts * numRanks);
  }

  long count() {
    return layoutRangeEnd();
  }

  long bytes() {
    return count() + ControlLayout.lines(4L * localExperts);
  }
}
