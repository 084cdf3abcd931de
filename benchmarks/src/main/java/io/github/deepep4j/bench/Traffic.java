package io.github.deepep4j.bench;

/**
 * Bytes of one operation, for one rank on the average of all ranks. Dispatch: what a rank receives,
 * from itself included. Combine: the rows that a rank reads for its tokens, its own included; the
 * sums that it writes are not counted.
 *
 * @param perTokenRank counting a row once for each (token, destination rank)
 * @param perTokenExpert counting a row once for each (token, expert)
 * @param moved what this form really moves, one of the two; the plain copy copies as many
 */
record Traffic(double perTokenRank, double perTokenExpert, double moved) {
  static Traffic of(Routing routing, long rowBytes, boolean rowsPerExpert) {
    double rank = routing.rowsPerTokenRank() * rowBytes;
    double expert = routing.rowsPerTokenExpert() * rowBytes;
    return new Traffic(rank, expert, rowsPerExpert ? expert : rank);
  }

  Traffic plus(Traffic other) {
    return new Traffic(
        perTokenRank + other.perTokenRank,
        perTokenExpert + other.perTokenExpert,
        moved + other.moved);
  }
}
