package io.github.deepep4j.scale;

import java.util.List;

/**
 * A published figure (section 5 of the specification's targets): FP8 dispatch and BF16 combine,
 * 4,096 tokens of 7,168, top-8 within at most four nodes.
 *
 * @param name as published
 * @param numNodes nodes of eight ranks
 * @param dispatchGbs inside the node where there is one, else over the network; the own rank, or
 *     node, counted
 * @param combineGbs the same
 * @param v1 whether it is V1 on H800 with 24 SMs; else V2 with 12 SMs on a machine that is not
 *     named
 */
record Published(String name, int numNodes, double dispatchGbs, double combineGbs, boolean v1) {
  /** Nodes that a token's experts lie on at most. */
  static final int MAX_NODES = 4;

  /** All of them. */
  static final List<Published> ALL =
      List.of(
          new Published("V1 EP8", 1, 153, 158, true),
          new Published("V1 EP16", 2, 43, 43, true),
          new Published("V1 EP32", 4, 58, 57, true),
          new Published("V1 EP64", 8, 51, 50, true),
          new Published("V2 EP8x2", 2, 90, 81, false));

  double gbs(Workload.Operation operation) {
    return operation == Workload.Operation.DISPATCH ? dispatchGbs : combineGbs;
  }

  /** The simulated figure that this one is to be compared with. */
  double of(Outcome outcome) {
    return numNodes == 1 ? outcome.countedRowGbs() : outcome.countedNetworkGbs();
  }
}
