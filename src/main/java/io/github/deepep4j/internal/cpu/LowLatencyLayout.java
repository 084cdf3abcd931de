package io.github.deepep4j.internal.cpu;

/**
 * One low-latency dispatch region. Senders write row i for local expert e into slot (e, sender, i);
 * the receiver closes the gaps in place, which moves rows only towards the front.
 *
 * <pre>
 *   x           [localExperts, n, M, rowBytes]      slots, then packed [localExperts, n·M]
 *   wireScales  [localExperts, n, M, scaleWords]    as sent, one row's words together
 *   origins     [localExperts, n, M] int32          token in its source, as sent
 *   scales      [localExperts, scaleWords, n·M]     as grouped GEMMs read them
 *   sourceInfo  [localExperts, n·M] int32
 *   layoutRange [localExperts, n] int64
 *   count       [localExperts] int32
 * </pre>
 *
 * @param numRanks n
 * @param localExperts experts per rank
 * @param maxTokens M
 * @param rowBytes bytes of one row
 * @param scaleWords 4-byte scale words per row
 */
record LowLatencyLayout(
    int numRanks, int localExperts, int maxTokens, int rowBytes, int scaleWords) {
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
    return ControlLayout.lines(slots() * rowBytes);
  }

  long wireScales() {
    return xEnd();
  }

  private long wireScalesEnd() {
    return wireScales() + ControlLayout.lines(slots() * scaleWords * 4);
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
    return scales() + ControlLayout.lines(slots() * scaleWords * 4);
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
