package io.github.deepep4j.bench;

/**
 * Bytes of one operation, for one rank on the average of all ranks. Dispatch: what a rank receives,
 * from itself included. Combine: the rows that a rank reads for its tokens, its own included; the
 * sums that it writes are not counted.
 *
 * @param perTokenRank counting a row once for each (token, destination rank)
 * @param perTokenExpert counting a row once for each (token, expert)
 * @param moved what this form really moves, one of the two; the plain copy copies as many
 * @param network what goes to other nodes: a row once for each (token, other node); back as many
 * @param networkAsV1 the same with the own node's rows, as DeepEP V1 counts its network's rates
 */
record Traffic(
    double perTokenRank, double perTokenExpert, double moved, double network, double networkAsV1) {
  static Traffic of(Routing routing, long rowBytes, boolean rowsPerExpert) {
    double rank = routing.rowsPerTokenRank() * rowBytes;
    double expert = routing.rowsPerTokenExpert() * rowBytes;
    return new Traffic(
        rank,
        expert,
        rowsPerExpert ? expert : rank,
        routing.rowsPerTokenNode(false) * rowBytes,
        routing.rowsPerTokenNode(true) * rowBytes);
  }

  Traffic plus(Traffic other) {
    return new Traffic(
        perTokenRank + other.perTokenRank,
        perTokenExpert + other.perTokenExpert,
        moved + other.moved,
        network + other.network,
        networkAsV1 + other.networkAsV1);
  }
}
