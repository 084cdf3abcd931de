package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.numeric.LogFmt10;

/**
 * One region of expert outputs on their way back: written by the expert's rank, read there by the
 * tokens' ranks.
 *
 * <pre>
 *   rows    [R, H] BF16, or LogFMT-10 in the same place
 *   ranges  [R, H/128] pairs (amax, amin) BF16      LogFMT-10 only
 *   weights [R, weightsPerRow] float32              where weights go back
 *   begins  [n, localExperts] int32                 low latency: where a rank's rows begin
 * </pre>
 *
 * @param rows R
 * @param hidden H
 * @param logFmt whether there are ranges
 * @param weightsPerRow K in rank-major order, 1 in expert-major order, 0 without weights
 * @param beginWords n·localExperts in low-latency mode, else 0
 */
record OutputLayout(long rows, int hidden, boolean logFmt, int weightsPerRow, int beginWords) {
  long rowBytes() {
    return 2L * hidden;
  }

  long x() {
    return 0;
  }

  private long xEnd() {
    return ControlLayout.lines(rows * rowBytes());
  }

  long ranges() {
    return xEnd();
  }

  /** Bytes of one row's ranges. */
  long rangeBytes() {
    return logFmt ? hidden / LogFmt10.GROUP_CHANNELS * 4L : 0;
  }

  private long rangesEnd() {
    return ranges() + ControlLayout.lines(rows * rangeBytes());
  }

  long weights() {
    return rangesEnd();
  }

  private long weightsEnd() {
    return weights() + ControlLayout.lines(rows * weightsPerRow * 4);
  }

  long begins() {
    return weightsEnd();
  }

  long bytes() {
    return begins() + ControlLayout.lines(4L * beginWords);
  }
}
