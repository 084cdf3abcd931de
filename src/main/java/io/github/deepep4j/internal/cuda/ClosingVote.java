package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.BufferOptions;

/**
 * Whether all ranks of one host have come to close their ends of a buffer, decided once for all of
 * them, in one word: yes when somebody sees that all are there; no when one has waited until its
 * deadline, was interrupted, or sees another one dead. So nobody begins what needs all of them
 * while another has given up.
 */
final class ClosingVote {
  private static final long ALL_CAME = 1;
  private static final long GIVEN_UP = 2;

  private final PeerWords words;
  private final int numRanks;

  ClosingVote(PeerWords words, int numRanks) {
    this.words = words;
    this.numRanks = numRanks;
  }

  /**
   * Says that this rank has come, and waits for the decision.
   *
   * @param options with the deadline
   */
  boolean allCame(BufferOptions options) {
    words.letGo();
    long start = System.nanoTime();
    long patience = options.timeout().toNanos();
    Backoff backoff = new Backoff(options.tuning());
    long decision = words.decision();
    while (decision == 0) {
      if (isAnyDead()) {
        decision = words.decide(GIVEN_UP);
      } else if (haveAllLetGo()) {
        decision = words.decide(ALL_CAME);
      } else if (!backoff.pause() || System.nanoTime() - start >= patience) {
        decision = words.decide(GIVEN_UP);
      } else {
        decision = words.decision();
      }
    }
    return decision == ALL_CAME;
  }

  private boolean haveAllLetGo() {
    for (int peer = 0; peer < numRanks; peer++) {
      if (!words.hasLetGo(peer)) {
        return false;
      }
    }
    return true;
  }

  private boolean isAnyDead() {
    for (int peer = 0; peer < numRanks; peer++) {
      if (words.knownDead(peer)) {
        return true;
      }
    }
    return false;
  }
}
