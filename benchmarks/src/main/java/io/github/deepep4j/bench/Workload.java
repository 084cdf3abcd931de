package io.github.deepep4j.bench;

/**
 * Sizes of one measurement, the same on all ranks.
 *
 * @param backend {@code cpu} or {@code cuda}
 * @param ranks n
 * @param tokens tokens of each rank
 * @param hidden elements of a row
 * @param topk experts of a token
 * @param experts experts over all ranks
 * @param dtype how rows travel
 */
record Workload(
    String backend, int ranks, int tokens, int hidden, int topk, int experts, Wire dtype) {

  /** How a dispatched row travels. */
  enum Wire {
    /** BF16, unchanged. */
    BF16("bf16"),
    /** FP8 E4M3 with one float32 scale for each 128 channels, both given by the caller. */
    FP8("fp8"),
    /** BF16 at the caller, cast to FP8 on the way out, with plain float32 scales. */
    FP8_CAST("fp8cast");

    final String text;

    Wire(String text) {
      this.text = text;
    }

    static Wire of(String text) {
      for (Wire wire : values()) {
        if (wire.text.equals(text)) {
          return wire;
        }
      }
      throw new IllegalArgumentException("dtype must be bf16, fp8 or fp8cast: " + text);
    }
  }

  int localExperts() {
    return experts / ranks;
  }

  /** Scales of a row; 0 for BF16. */
  int scaleWords() {
    return dtype == Wire.BF16 ? 0 : hidden / Pattern.GROUP;
  }

  /** Bytes of a dispatched row, scales included. */
  long dispatchRowBytes() {
    return dtype == Wire.BF16 ? 2L * hidden : hidden + 4L * scaleWords();
  }

  /** Bytes of a row on its way back. */
  long combineRowBytes() {
    return 2L * hidden;
  }
}
