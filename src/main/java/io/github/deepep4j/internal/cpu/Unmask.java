package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.error.EpTimeoutException;
import java.util.BitSet;

/**
 * Brings a masked rank back. Collective over it and all unmasked ranks, in two steps that each wait
 * for everybody: first all say where they are ({@link Position}) and that they are in no other
 * call, so that no late write can come any more; then, after all have taken the largest values,
 * cleared the mask and given new credits, all go on together.
 *
 * <p>A join's tag is {@code 2·attempt + step} of its writer, so it only grows; a reader waits for
 * one larger than what it has used up. A rank that gives up retracts its join.
 */
final class Unmask {
  /**
   * How far a rank has come in the sequence of calls.
   *
   * @param epoch of its last call
   * @param dispatches normal-mode dispatches so far
   * @param lowLatencyDispatches low-latency dispatches so far
   */
  record Position(long epoch, long dispatches, long lowLatencyDispatches) {
    static final Position NONE = new Position(0, 0, 0);

    Position max(Position other) {
      return new Position(
          Math.max(epoch, other.epoch),
          Math.max(dispatches, other.dispatches),
          Math.max(lowLatencyDispatches, other.lowLatencyDispatches));
    }
  }

  private final RankContext context;
  private final long[] usedTag;
  private long attempt;

  Unmask(RankContext context) {
    this.context = context;
    this.usedTag = new long[context.numRanks];
  }

  /** Runs this rank's part; {@code returning} may be this rank itself. */
  void run(int returning) {
    boolean self = returning == context.rank;
    BitSet members = members(returning);
    attempt++;
    boolean done = false;
    try {
      Position position = context.position();
      publish(members, 2 * attempt, position);
      long[] firstTags = new long[context.numRanks];
      context.waits.enter("unmask", context.options.timeout().toNanos());
      for (int peer = members.nextSetBit(0); peer >= 0; peer = members.nextSetBit(peer + 1)) {
        firstTags[peer] = await(peer, usedTag[peer] + 1);
        position = position.max(context.messages.joinedPosition(peer));
      }
      settle(returning, self, members);
      context.moveTo(position);
      publish(members, 2 * attempt + 1, position);
      context.waits.startStage();
      for (int peer = members.nextSetBit(0); peer >= 0; peer = members.nextSetBit(peer + 1)) {
        usedTag[peer] = await(peer, firstTags[peer] | 1);
      }
      done = true;
    } finally {
      if (!done) {
        publish(members, 0, Position.NONE);
      }
    }
  }

  /** Who takes part: whoever is unmasked here, the returning rank, and those who masked it. */
  private BitSet members(int returning) {
    BitSet members = new BitSet();
    for (int peer = 0; peer < context.numRanks; peer++) {
      boolean maskedThisOne = returning == context.rank && context.peers.isMaskedBy(peer);
      members.set(peer, !context.peers.isMasked(peer) || maskedThisOne);
    }
    members.set(returning);
    return members;
  }

  private void publish(BitSet members, long tag, Position position) {
    for (int peer = members.nextSetBit(0); peer >= 0; peer = members.nextSetBit(peer + 1)) {
      context.messages.publishJoin(peer, tag, position);
    }
  }

  private long await(int peer, long leastTag) {
    if (!context.waits.awaitJoin(peer, () -> context.messages.joinedTag(peer) >= leastTag)) {
      throw new EpTimeoutException(
          context.rank, "unmask", context.rank, peer, Stage.UNMASK.text, "it did not join");
    }
    return context.messages.joinedTag(peer);
  }

  /** All members are in this call, so nobody can write to a region that is not granted anew. */
  private void settle(int returning, boolean self, BitSet members) {
    if (self) {
      context.peers.comeBack();
    }
    for (int peer = members.nextSetBit(0); peer >= 0; peer = members.nextSetBit(peer + 1)) {
      if (self || peer == returning) {
        context.peers.clearMask(peer);
        context.forget(peer);
      }
    }
  }
}
