package io.github.deepep4j.normal;

import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.reference.ReferenceDispatch;
import java.util.ArrayList;
import java.util.List;

/** One dispatch of all ranks, drawn beforehand, with what every rank must receive. */
final class Round {
  final GlobalInput input;
  final Form form;
  final Payload payload;
  final int ranksPerNode;
  final List<ReferenceDispatch> received = new ArrayList<>();

  /** All ranks on one node. */
  Round(GlobalInput input, Form form, Payload payload) {
    this(input, form, payload, input.numRanks());
  }

  /** The nodes change no row of a dispatch; they are kept for its combines. */
  Round(GlobalInput input, Form form, Payload payload, int ranksPerNode) {
    this.ranksPerNode = ranksPerNode;
    this.input = input;
    this.form = form;
    this.payload = payload;
    for (int rank = 0; rank < input.numRanks(); rank++) {
      received.add(
          form.isRankMajor()
              ? ReferenceDispatch.rankMajor(input, rank, form.alignment())
              : ReferenceDispatch.expertMajor(input, rank, form.alignment()));
    }
  }

  /** Rows of a rank's result: what arrives, or the bound. */
  int resultRows(int rank) {
    return received.get(rank).numReceived() + Math.max(0, form.slack());
  }

  @Override
  public String toString() {
    return input + ", " + ranksPerNode + " per node, " + form + ", " + payload;
  }
}
