package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.RowOrder;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.internal.backend.Topology;

/**
 * One rank's window: the control records and then the regions, each kind in memory of its own.
 *
 * <pre>
 *   control | dispatch regions | output regions | low-latency regions | low-latency output regions
 *           '------- or one arena ------------'
 * </pre>
 *
 * <p>Peers need only the control layout, which the shared options determine; where a region lies
 * they are told by grants, credits and ready messages, so sizes may differ between ranks.
 */
public final class WindowLayout {
  private final BufferOptions options;
  private final int numRanks;
  private final int localExperts;

  private WindowLayout(BufferOptions options, int numRanks) {
    this.options = options;
    this.numRanks = numRanks;
    this.localExperts = options.numExperts() / numRanks;
  }

  /**
   * Computes a layout.
   *
   * @param options what the buffer is made for
   * @param numRanks n
   * @return the layout
   * @throws IllegalArgumentException if n does not divide the number of experts, or is not divided
   *     by the ranks of a node
   */
  public static WindowLayout of(BufferOptions options, int numRanks) {
    if (numRanks < 1 || options.numExperts() % numRanks != 0) {
      throw new IllegalArgumentException(
          "numExperts must be a multiple of the number of ranks: "
              + options.numExperts()
              + " over "
              + numRanks);
    }
    Topology.of(options, numRanks); // refuses nodes that are not alike
    return new WindowLayout(options, numRanks);
  }

  ControlLayout control() {
    return new ControlLayout(numRanks, localExperts, regions(), outputs(), lowLatencyRegions());
  }

  /** Normal-mode dispatch regions. */
  int regions() {
    return options.isNormal() ? options.normalRegions() : 0;
  }

  /** Normal-mode output regions come first, then the low-latency ones. */
  int normalOutputs() {
    return regions();
  }

  int lowLatencyRegions() {
    return options.isLowLatency() ? options.lowLatencyRegions() : 0;
  }

  int outputs() {
    return normalOutputs() + lowLatencyRegions();
  }

  boolean isArena() {
    return options.isNormal() && options.arenaBytes() > 0;
  }

  /** Bytes of the largest normal-mode dispatch region. */
  long regionBytes() {
    long bytes = layoutFor(RowOrder.RANK_MAJOR).bytes();
    return options.isExpertMajor()
        ? Math.max(bytes, layoutFor(RowOrder.EXPERT_MAJOR).bytes())
        : bytes;
  }

  /** Bytes of the largest normal-mode output region. */
  long outputBytes() {
    long bytes = outputFor(RowOrder.RANK_MAJOR).bytes();
    return options.isExpertMajor()
        ? Math.max(bytes, outputFor(RowOrder.EXPERT_MAJOR).bytes())
        : bytes;
  }

  LowLatencyLayout lowLatency() {
    return new LowLatencyLayout(
        numRanks, localExperts, options.maxTokensPerRank(), options.hidden());
  }

  long lowLatencyBytes() {
    return lowLatency().bytes();
  }

  long lowLatencyOutputBytes() {
    return lowLatencyOutput(true).bytes();
  }

  OutputLayout lowLatencyOutput(boolean logFmt) {
    long rows = (long) localExperts * numRanks * options.maxTokensPerRank();
    return new OutputLayout(rows, options.hidden(), logFmt, 0, numRanks * localExperts);
  }

  long dispatchBase() {
    return ControlLayout.lines(control().bytes());
  }

  long dispatchTotal() {
    if (isArena()) {
      return ControlLayout.lines(options.arenaBytes());
    }
    return regions() * regionBytes();
  }

  long outputBase() {
    return dispatchBase() + dispatchTotal();
  }

  long outputTotal() {
    return isArena() ? 0 : normalOutputs() * outputBytes();
  }

  long lowLatencyBase() {
    return outputBase() + outputTotal();
  }

  long lowLatencyTotal() {
    return lowLatencyRegions() * lowLatencyBytes();
  }

  long lowLatencyOutputBase() {
    return lowLatencyBase() + lowLatencyTotal();
  }

  long lowLatencyOutputTotal() {
    return lowLatencyRegions() * lowLatencyOutputBytes();
  }

  /** Bytes of the whole window. */
  long bytes() {
    return lowLatencyOutputBase() + lowLatencyOutputTotal();
  }

  /**
   * The sizes, for users.
   *
   * @return bytes by kind
   */
  public SizeHint sizeHint() {
    return new SizeHint(
        dispatchBase(),
        dispatchTotal(),
        outputTotal(),
        lowLatencyTotal(),
        lowLatencyOutputTotal(),
        0,
        0);
  }

  private RegionLayout layoutFor(RowOrder order) {
    var form =
        new RegionLayout.Form(
            order, 2 * options.hidden(), options.maxScalesPerRow(), options.maxTopk(), 8);
    return new RegionLayout(
        form,
        numRanks,
        localExperts,
        options.receiveCapacityRows(order, numRanks, options.maxTopk()));
  }

  private OutputLayout outputFor(RowOrder order) {
    long rows = options.receiveCapacityRows(order, numRanks, options.maxTopk());
    int weights = order == RowOrder.RANK_MAJOR ? options.maxTopk() : 1;
    return new OutputLayout(rows, options.hidden(), false, weights, 0);
  }
}
