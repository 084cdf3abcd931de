package io.github.deepep4j.reference;

/** LogFMT-10 by its definition: a code per value, and the value that the code stands for. */
public final class ReferenceLogFmt {
  /** Channels that share a range. */
  public static final int GROUP = 128;

  private ReferenceLogFmt() {}

  /** What LogFMT-10 makes of a row whose width is a multiple of 512. */
  public static float[] roundTrip(short[] row) {
    int chunk = row.length % 1024 == 0 ? 1024 : 512;
    float[] values = new float[row.length];
    for (int first = 0; first < row.length; first += chunk) {
      boolean cast = true;
      for (int group = first; group < first + chunk; group += GROUP) {
        LogRange range = LogRange.of(row, group);
        cast &= range.logMax < 0 && range.logMin < range.logMax;
      }
      for (int group = first; group < first + chunk; group += GROUP) {
        LogRange range = LogRange.of(row, group);
        for (int i = group; i < group + GROUP; i++) {
          float value = NumberFormats.bf16ToFloat(row[i]);
          values[i] = cast ? range.throughCode(value) : value;
        }
      }
    }
    return values;
  }

  /** Range of one group of channels, as logarithms. */
  private record LogRange(double logMax, double logMin) {
    static LogRange of(short[] row, int first) {
      float max = 0;
      float min = Float.POSITIVE_INFINITY;
      for (int i = first; i < first + GROUP; i++) {
        max = Math.max(max, Math.abs(NumberFormats.bf16ToFloat(row[i]))); // NaN if any is
        min = Math.min(min, Math.abs(NumberFormats.bf16ToFloat(row[i])));
      }
      double logMax = log2(max);
      return new LogRange(logMax, min == 0 ? logMax - 32 : Math.max(log2(min), logMax - 32));
    }

    float throughCode(float value) {
      double step = (logMax - logMin) / 510;
      double boundary = log2((1 + StrictMath.pow(2, step)) / 2) / step;
      double position = log2(Math.abs(value)) / step + 2 - boundary - logMin / step;
      double code = Math.floor(Math.max(0, position));
      float magnitude = code == 0 ? 0 : (float) StrictMath.pow(2, (code - 1) * step + logMin);
      return Math.copySign(magnitude, value);
    }

    private static double log2(double value) {
      return StrictMath.log(value) / StrictMath.log(2);
    }
  }
}
