package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.backend.JoinRecord;

/**
 * Where every small message of the protocol lies in a rank's window. The window's owner only reads
 * here; for each message there is one record per writing rank, so that every word has one writer.
 *
 * <pre>
 * offset 0
 *   calls      [CALL_RING][n]   what the writer has called: tag = epoch, call words
 *   counts     [2][n]           rows that the writer will send here: tag = epoch, status, rows, per expert
 *   grants     [2][n]           where the writer lets this rank send: tag = epoch, status, place, bases
 *   arrived    [regions][n]     rows are at their place: epoch and status in one word
 *   ready      [outputs][n]     expert outputs may be read: tag = epoch, places
 *   read       [outputs][n]     the writer has read this rank's outputs: epoch
 *   credits    [2·ll][n]        region of a future low-latency dispatch: tag = ordinal, place
 *   landed     [ll][n]          low-latency rows are in their slots: tag = ordinal, status, per expert
 *   masked     [n]              the writer has masked this rank
 *   left       [n]              the writer has left: closed, or masked by somebody
 *   failed     [n]              the writer gave up: what happened, whom it waited for
 *   joins      [n]              the writer's step in an unmask, and whom it has masked
 * bytes()
 * </pre>
 *
 * <p>Records start on cache lines, so that no two writers share one. Each accessor builds on the
 * end of the one before; offsets and size can't drift apart.
 */
final class ControlLayout {
  /**
   * Calls that a peer may be ahead before its announcement of a call is overwritten; more than the
   * results that can be open.
   */
  static final int CALL_RING = 256;

  /**
   * Counts and grants are read in the send half of a dispatch only, and no rank can be more than
   * one dispatch ahead there, so two in turn suffice (model-checked). The turn is the dispatch's
   * ordinal, not its epoch: other calls between two dispatches would give them the same parity.
   */
  static final int SEND_RING = 2;

  private static final long LINE = 64;
  private static final long FAILED_BYTES = lines(8L + FailureReport.BYTES);

  private final int numRanks;
  private final int regions;
  private final int outputs;
  private final int lowLatencyRegions;
  private final long expertWords;

  /**
   * Makes the layout.
   *
   * @param numRanks n
   * @param localExperts experts per rank
   * @param regions normal-mode dispatch regions
   * @param outputs regions for expert outputs, of both modes
   * @param lowLatencyRegions low-latency dispatch regions; 0 without that mode
   */
  ControlLayout(int numRanks, int localExperts, int regions, int outputs, int lowLatencyRegions) {
    this.numRanks = numRanks;
    this.regions = regions;
    this.outputs = outputs;
    this.lowLatencyRegions = lowLatencyRegions;
    this.expertWords = lines(4L * localExperts);
  }

  long call(long epoch, int writer) {
    return record(0, Math.floorMod(epoch, CALL_RING), writer, LINE);
  }

  private long callsEnd() {
    return record(0, CALL_RING, 0, LINE);
  }

  long counts(long ordinal, int writer) {
    return record(callsEnd(), Math.floorMod(ordinal, SEND_RING), writer, LINE + expertWords);
  }

  private long countsEnd() {
    return record(callsEnd(), SEND_RING, 0, LINE + expertWords);
  }

  long grant(long ordinal, int writer) {
    return record(countsEnd(), Math.floorMod(ordinal, SEND_RING), writer, 2 * LINE + expertWords);
  }

  private long grantsEnd() {
    return record(countsEnd(), SEND_RING, 0, 2 * LINE + expertWords);
  }

  long arrived(int region, int writer) {
    return record(grantsEnd(), region, writer, LINE);
  }

  private long arrivedEnd() {
    return record(grantsEnd(), regions, 0, LINE);
  }

  long ready(int output, int writer) {
    return record(arrivedEnd(), output, writer, LINE);
  }

  private long readyEnd() {
    return record(arrivedEnd(), outputs, 0, LINE);
  }

  long read(int output, int writer) {
    return record(readyEnd(), output, writer, LINE);
  }

  private long readEnd() {
    return record(readyEnd(), outputs, 0, LINE);
  }

  long credit(long ordinal, int writer) {
    return record(
        readEnd(), Math.floorMod(ordinal, Math.max(1, 2 * lowLatencyRegions)), writer, LINE);
  }

  private long creditsEnd() {
    return record(readEnd(), 2L * lowLatencyRegions, 0, LINE);
  }

  long landed(int region, int writer) {
    return record(creditsEnd(), region, writer, LINE + expertWords);
  }

  private long landedEnd() {
    return record(creditsEnd(), lowLatencyRegions, 0, LINE + expertWords);
  }

  long masked(int writer) {
    return record(landedEnd(), 0, writer, LINE);
  }

  long left(int writer) {
    return record(landedEnd(), 1, writer, LINE);
  }

  private long leftEnd() {
    return record(landedEnd(), 2, 0, LINE);
  }

  long failed(int writer) {
    return record(leftEnd(), 0, writer, FAILED_BYTES);
  }

  private long failedEnd() {
    return record(leftEnd(), 1, 0, FAILED_BYTES);
  }

  long join(int writer) {
    return record(failedEnd(), 0, writer, joinBytes());
  }

  private long joinBytes() {
    return lines(JoinRecord.bytes(numRanks));
  }

  long bytes() {
    return record(failedEnd(), 1, 0, joinBytes());
  }

  private long record(long base, long row, int writer, long recordBytes) {
    return base + (row * numRanks + writer) * recordBytes;
  }

  /** Rounds up to whole cache lines. */
  static long lines(long bytes) {
    return (bytes + LINE - 1) / LINE * LINE;
  }
}
