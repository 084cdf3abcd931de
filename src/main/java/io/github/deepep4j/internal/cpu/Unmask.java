package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpTimeoutException;
import java.util.Arrays;
import java.util.BitSet;
import org.jspecify.annotations.Nullable;

/**
 * Brings a masked rank back. Collective over it and all unmasked ranks, in two steps: first all say
 * where they are ({@link Position}) and that they are in no other call, so that no late write can
 * come any more; then each says that it has seen all others. Only after that does a rank change
 * anything of its own, so that one that gives up in either step is where it was before, and may
 * call again.
 *
 * <p>A join's tag is {@code 2·attempt + step} of its writer, so it only grows; a reader waits for
 * one larger than what it has used up. A rank that gives up retracts its join and says for whom it
 * waited, so that the others give up with it and name the same rank.
 *
 * <p>The returning rank cannot know whom the others have masked besides it. They say so in their
 * joins; whoever is masked by one of them is not waited for, and masked here too at the end.
 */
final class Unmask {
  private static final String OPERATION = "unmask";

  /**
   * How far a rank has come in the sequence of calls.
   *
   * @param epoch of its last call
   * @param dispatches normal-mode dispatches so far
   * @param lowLatencyDispatches low-latency dispatches so far
   */
  record Position(long epoch, long dispatches, long lowLatencyDispatches) {
    Position max(Position other) {
      return new Position(
          Math.max(epoch, other.epoch),
          Math.max(dispatches, other.dispatches),
          Math.max(lowLatencyDispatches, other.lowLatencyDispatches));
    }
  }

  /**
   * What a rank says in an unmask.
   *
   * @param tag attempt and step
   * @param returning the rank to bring back
   * @param position where the rank is
   * @param masks whom it has masked
   */
  record Join(long tag, int returning, Position position, BitSet masks) {}

  private final RankContext context;
  private final Peers peers;
  private final long[] usedTag;
  private final boolean[] hasJoined;
  private long attempt;
  private int culprit;

  Unmask(RankContext context) {
    this.context = context;
    this.peers = context.peers;
    this.usedTag = new long[context.numRanks];
    this.hasJoined = new boolean[context.numRanks];
  }

  /** Runs this rank's part; {@code returning} may be this rank itself. */
  void run(int returning) {
    attempt++;
    BitSet told = audience(returning);
    boolean done = false;
    culprit = context.rank;
    Arrays.fill(hasJoined, false);
    context.waits.enter(OPERATION, context.options.timeout().toNanos());
    try {
      var own = new Join(2 * attempt, returning, context.position(), masks());
      each(told, peer -> context.messages.publishJoin(peer, own));
      @Nullable Join[] joins = awaitJoins(returning);
      Peers.Pardon[] pardons = new Peers.Pardon[context.numRanks];
      for (int peer = 0; peer < joins.length; peer++) {
        pardons[peer] = peers.readPardon(peer);
      }
      each(told, peer -> context.messages.publishJoinTag(peer, own.tag() + 1));
      awaitSecondStep(joins);
      commit(returning, joins, pardons);
      done = true;
    } finally {
      if (!done) {
        each(told, peer -> context.messages.publishJoinTag(peer, -1L - culprit));
      }
    }
  }

  /** Something done for each rank of a set. */
  private interface PeerAction {
    void apply(int peer);
  }

  private static void each(BitSet set, PeerAction action) {
    for (int peer = set.nextSetBit(0); peer >= 0; peer = set.nextSetBit(peer + 1)) {
      action.apply(peer);
    }
  }

  /** Whom this rank's join concerns. */
  private BitSet audience(int returning) {
    BitSet told = new BitSet();
    for (int peer = 0; peer < context.numRanks; peer++) {
      boolean concerned = returning == context.rank || peer == returning || !peers.isMasked(peer);
      told.set(peer, concerned && peer != context.rank);
    }
    return told;
  }

  private BitSet masks() {
    BitSet masks = new BitSet();
    for (int peer = 0; peer < context.numRanks; peer++) {
      masks.set(peer, peers.isMasked(peer));
    }
    return masks;
  }

  /** First step: the joins of all members at one moment. */
  private @Nullable Join[] awaitJoins(int returning) {
    @Nullable Join[] joins = new Join[context.numRanks];
    context.waits.startStage();
    context.waits.awaitMembers(
        returning,
        () -> {
          readJoins(returning, joins);
          int missing = missing(returning, joins);
          return missing < 0 || isOver(missing) || hasRetracted(missing);
        });
    int missing = missing(returning, joins);
    if (missing >= 0) {
      throw gaveUp(missing, "it did not join the unmask of rank " + returning);
    }
    return joins;
  }

  private void readJoins(int returning, @Nullable Join[] joins) {
    for (int peer = 0; peer < joins.length; peer++) {
      Join join = peer == context.rank ? null : context.messages.readJoin(peer);
      boolean valid = join != null && join.tag() > usedTag[peer] && join.returning() == returning;
      joins[peer] = valid ? join : null;
      hasJoined[peer] |= valid;
    }
  }

  /** A rank that has to join and has not, or −1. */
  private int missing(int returning, @Nullable Join[] joins) {
    for (int peer = 0; peer < joins.length; peer++) {
      if (joins[peer] == null && peer != context.rank && isExpected(peer, returning, joins)) {
        return peer;
      }
    }
    return -1;
  }

  private boolean isExpected(int peer, int returning, @Nullable Join[] joins) {
    if (peer == returning) {
      return true;
    }
    if (peers.hasLeftMasked(peer)) {
      return false;
    }
    if (returning != context.rank) {
      return !peers.isMasked(peer);
    }
    for (Join join : joins) {
      if (join != null && join.masks().get(peer)) {
        return false;
      }
    }
    return !isOver(peer);
  }

  /** Whether a rank had joined this rank's attempt and has given up. */
  private boolean hasRetracted(int peer) {
    return hasJoined[peer] && context.messages.joinedTag(peer) < 0;
  }

  /** Whether a rank comes no more. */
  private boolean isOver(int peer) {
    return peers.hasClosed(peer) || peers.knownDead(peer);
  }

  /** Second step: all have seen all. */
  private void awaitSecondStep(@Nullable Join[] joins) {
    context.waits.startStage();
    for (int i = 0; i < joins.length; i++) {
      Join join = joins[i];
      int peer = i;
      if (join == null) {
        continue;
      }
      long second = join.tag() | 1;
      context.waits.awaitMembers(
          peer,
          () -> {
            long tag = context.messages.joinedTag(peer);
            return tag == second || tag != join.tag() || isOver(peer);
          });
      if (context.messages.joinedTag(peer) != second) {
        throw gaveUp(peer, "it joined and did not go on");
      }
    }
  }

  private EpException gaveUp(int peer, String detail) {
    // A rank that has failed for good says so before it retracts its join.
    context.waits.checkFailedPeers();
    long tag = context.messages.joinedTag(peer);
    boolean retracted = hasJoined[peer] && tag < 0;
    int origin = retracted ? peer : context.rank;
    culprit = retracted ? (int) (-1 - tag) : peer;
    String how =
        retracted ? "reported by rank " + peer : isOver(peer) ? "it has closed or ended" : detail;
    return new EpTimeoutException(context.rank, OPERATION, origin, culprit, Stage.UNMASK.text, how);
  }

  /** All members are in this call, so nobody can write to a region that is not granted anew. */
  private void commit(int returning, @Nullable Join[] joins, Peers.Pardon[] pardons) {
    Position position = context.position();
    BitSet returned = new BitSet();
    for (int peer = 0; peer < joins.length; peer++) {
      Join join = joins[peer];
      if (join != null) {
        usedTag[peer] = join.tag() | 1;
        position = position.max(join.position());
        returned.set(peer, returning == context.rank || peer == returning);
      } else if (peer != context.rank && !peers.isMasked(peer)) {
        context.mask(peer);
      }
    }
    each(returned, peer -> peers.welcome(peer, pardons[peer]));
    each(returned, context::forget);
    if (returning == context.rank) {
      peers.comeBack();
    }
    context.moveTo(position, returned);
  }
}
