package io.github.deepep4j.bench;

import io.github.deepep4j.tensor.Device;

/**
 * Sizes of one measurement, the same on all ranks.
 *
 * @param place where it runs
 * @param ranks n
 * @param tokens tokens of each rank
 * @param hidden elements of a row
 * @param topk experts of a token
 * @param experts experts over all ranks
 * @param dtype how rows travel
 */
record Workload(Place place, int ranks, int tokens, int hidden, int topk, int experts, Wire dtype) {
  Workload {
    if (place.cuda() && ranks % place.devices() != 0) {
      throw new IllegalArgumentException(
          ranks + " ranks can't share " + place.devices() + " devices evenly");
    }
  }

  /**
   * Where ranks run.
   *
   * @param cuda on GPUs; else on the CPU
   * @param devices number of GPUs: rank r is on r modulo it
   * @param sms multiprocessors of each rank; 0 for the library's choice
   * @param ranksPerNode of one node, several nodes being parts of this machine; 0 for one node
   */
  record Place(boolean cuda, int devices, int sms, int ranksPerNode) {}

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

  Device deviceOf(int rank) {
    return place.cuda() ? Device.cuda(rank % place.devices()) : Device.cpu();
  }

  int sms() {
    return place.sms();
  }

  /** Ranks of a node. */
  int ranksPerNode() {
    return place.ranksPerNode() == 0 ? ranks : place.ranksPerNode();
  }

  /** Ranks that share a GPU. */
  int ranksPerDevice() {
    return ranks / place.devices();
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
