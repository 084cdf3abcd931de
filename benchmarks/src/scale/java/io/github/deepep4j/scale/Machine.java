package io.github.deepep4j.scale;

/**
 * Rates of one kind of machine; a GB is 10^9 bytes.
 *
 * @param name for tables
 * @param ranksPerNode GPUs of a node, each with a network card of its own
 * @param nvlinkGbs what one GPU's links inside the node can carry in one direction
 * @param nicGbs what one network card can carry in one direction
 * @param smGbs rows that one SM copies
 * @param sms SMs that copy
 * @param nicLatencyNs from the first byte sent to the first byte received
 * @param nvlinkLatencyNs the same inside a node
 */
record Machine(
    String name,
    int ranksPerNode,
    double nvlinkGbs,
    double nicGbs,
    double smGbs,
    int sms,
    double nicLatencyNs,
    double nvlinkLatencyNs) {
  Machine {
    if (ranksPerNode < 1 || sms < 1) {
      throw new IllegalArgumentException(
          "ranksPerNode and sms must be >= 1: " + ranksPerNode + ", " + sms);
    }
    for (double rate : new double[] {nvlinkGbs, nicGbs, smGbs}) {
      if (!(rate > 0)) {
        throw new IllegalArgumentException("rates must be more than zero: " + rate);
      }
    }
  }

  /** The same machine, its links carrying only a part of their rate. */
  Machine scaled(double nvlinkEfficiency, double nicEfficiency) {
    return new Machine(
        name,
        ranksPerNode,
        nvlinkGbs * nvlinkEfficiency,
        nicGbs * nicEfficiency,
        smGbs,
        sms,
        nicLatencyNs,
        nvlinkLatencyNs);
  }

  /** The same machine with another number of SMs that copy. */
  Machine withSms(int count) {
    return new Machine(
        name, ranksPerNode, nvlinkGbs, nicGbs, smGbs, count, nicLatencyNs, nvlinkLatencyNs);
  }
}
