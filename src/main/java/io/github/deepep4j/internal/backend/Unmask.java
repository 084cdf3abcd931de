package io.github.deepep4j.internal.backend;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.internal.memory.OffHeap;
import java.util.Arrays;
import java.util.BitSet;
import java.util.function.BooleanSupplier;
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
 *
 * <p>The same on every backend: what differs is how a rank knows where it stands, see {@link
 * Member}.
 */
public final class Unmask {
  private static final String OPERATION = "unmask";

  /**
   * How far a rank has come in the sequence of calls.
   *
   * @param epoch of its last call
   * @param dispatches normal-mode dispatches so far
   * @param lowLatencyDispatches low-latency dispatches so far
   */
  public record Position(long epoch, long dispatches, long lowLatencyDispatches) {
    private Position max(Position other) {
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

  /** One rank's end of a buffer, as an unmask needs it. */
  public interface Member {
    /** This rank. */
    int rank();

    /** n. */
    int numRanks();

    /** How far this rank has come; it is in no other call. */
    Position position();

    /** Whether a peer is masked here. */
    boolean isMasked(int peer);

    /** Whether a peer takes no part because some rank has masked it. */
    boolean hasLeftMasked(int peer);

    /** Whether a peer comes no more: it has closed, or its process has ended. */
    boolean isOver(int peer);

    /** Where in an owner's memory a writer's {@link JoinRecord} lies. */
    long join(int owner, int writer);

    /** Starts a deadline. */
    void startStage();

    /**
     * Waits for members. Masks do not end the wait, nor does its deadline fail the buffer.
     *
     * @param peer for whom, as far as is known; for an interrupt's message
     * @param ready whether to end the wait
     * @return false if the deadline passed
     */
    boolean awaitMembers(int peer, BooleanSupplier ready);

    /** Throws if a rank has failed for good. */
    void checkFailedPeers();

    /** Keeps what an unmask will pardon: everybody's masks and departures as they are now. */
    void readPardons();

    /**
     * Goes on as if nobody had been away. All members are in this call, so none can write to a
     * region that is not granted anew.
     *
     * @param returning the rank that comes back
     * @param position of the furthest member
     * @param returned members that were masked here; all, if this rank returns
     * @param absent ranks that are no members and were not masked here until now
     */
    void commit(int returning, Position position, BitSet returned, BitSet absent);
  }

  private final Member member;
  private final int rank;
  private final int numRanks;
  private final long[] usedTag;
  private final boolean[] hasJoined;
  private long attempt;
  private int culprit;

  /**
   * Prepares unmasks of a buffer.
   *
   * @param member this rank's end
   */
  public Unmask(Member member) {
    this.member = member;
    this.rank = member.rank();
    this.numRanks = member.numRanks();
    this.usedTag = new long[numRanks];
    this.hasJoined = new boolean[numRanks];
  }

  /**
   * Runs this rank's part, within a deadline for each of two steps.
   *
   * @param returning the rank that comes back; may be this one
   * @throws EpException if a rank does not come, has failed, or the thread is interrupted; then
   *     nothing has changed
   */
  public void run(int returning) {
    attempt++;
    BitSet told = audience(returning);
    boolean done = false;
    culprit = rank;
    Arrays.fill(hasJoined, false);
    try {
      var own = new Join(2 * attempt, returning, member.position(), masks());
      each(told, peer -> JoinRecord.publish(member.join(peer, rank), own, numRanks));
      @Nullable Join[] joins = awaitJoins(returning);
      member.readPardons();
      each(told, peer -> publishTag(peer, own.tag() + 1));
      awaitSecondStep(joins);
      commit(returning, joins);
      done = true;
    } finally {
      if (!done) {
        each(told, peer -> publishTag(peer, -1L - culprit));
      }
    }
  }

  /** Goes to the next step, or retracts the join. */
  private void publishTag(int peer, long tag) {
    OffHeap.putLongRelease(member.join(peer, rank), tag);
  }

  private long tagOf(int peer) {
    return JoinRecord.tag(member.join(rank, peer));
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
    for (int peer = 0; peer < numRanks; peer++) {
      boolean concerned = returning == rank || peer == returning || !member.isMasked(peer);
      told.set(peer, concerned && peer != rank);
    }
    return told;
  }

  private BitSet masks() {
    BitSet masks = new BitSet();
    for (int peer = 0; peer < numRanks; peer++) {
      masks.set(peer, member.isMasked(peer));
    }
    return masks;
  }

  /** First step: the joins of all members at one moment. */
  private @Nullable Join[] awaitJoins(int returning) {
    @Nullable Join[] joins = new Join[numRanks];
    member.startStage();
    member.awaitMembers(
        returning,
        () -> {
          readJoins(returning, joins);
          int missing = missing(returning, joins);
          return missing < 0 || member.isOver(missing) || hasRetracted(missing);
        });
    int missing = missing(returning, joins);
    if (missing >= 0) {
      throw gaveUp(missing, "it did not join the unmask of rank " + returning);
    }
    return joins;
  }

  private void readJoins(int returning, @Nullable Join[] joins) {
    for (int peer = 0; peer < joins.length; peer++) {
      Join join = peer == rank ? null : JoinRecord.read(member.join(rank, peer), numRanks);
      boolean valid = join != null && join.tag() > usedTag[peer] && join.returning() == returning;
      joins[peer] = valid ? join : null;
      hasJoined[peer] |= valid;
    }
  }

  /** A rank that has to join and has not, or −1. */
  private int missing(int returning, @Nullable Join[] joins) {
    for (int peer = 0; peer < joins.length; peer++) {
      if (joins[peer] == null && peer != rank && isExpected(peer, returning, joins)) {
        return peer;
      }
    }
    return -1;
  }

  private boolean isExpected(int peer, int returning, @Nullable Join[] joins) {
    if (peer == returning) {
      return true;
    }
    if (member.hasLeftMasked(peer)) {
      return false;
    }
    if (returning != rank) {
      return !member.isMasked(peer);
    }
    for (Join join : joins) {
      if (join != null && join.masks().get(peer)) {
        return false;
      }
    }
    return !member.isOver(peer);
  }

  /** Whether a rank had joined this rank's attempt and has given up. */
  private boolean hasRetracted(int peer) {
    return hasJoined[peer] && tagOf(peer) < 0;
  }

  /** Second step: all have seen all. */
  private void awaitSecondStep(@Nullable Join[] joins) {
    member.startStage();
    for (int i = 0; i < joins.length; i++) {
      Join join = joins[i];
      int peer = i;
      if (join == null) {
        continue;
      }
      long second = join.tag() | 1;
      member.awaitMembers(
          peer,
          () -> {
            long tag = tagOf(peer);
            return tag == second || tag != join.tag() || member.isOver(peer);
          });
      if (tagOf(peer) != second) {
        throw gaveUp(peer, "it joined and did not go on");
      }
    }
  }

  private EpException gaveUp(int peer, String detail) {
    // A rank that has failed for good says so before it retracts its join.
    member.checkFailedPeers();
    long tag = tagOf(peer);
    boolean retracted = hasJoined[peer] && tag < 0;
    int origin = retracted ? peer : rank;
    culprit = retracted ? (int) (-1 - tag) : peer;
    String how =
        retracted
            ? "reported by rank " + peer
            : member.isOver(peer) ? "it has closed or ended" : detail;
    return new EpTimeoutException(rank, OPERATION, origin, culprit, OPERATION, how);
  }

  private void commit(int returning, @Nullable Join[] joins) {
    Position position = member.position();
    BitSet returned = new BitSet();
    BitSet absent = new BitSet();
    for (int peer = 0; peer < joins.length; peer++) {
      Join join = joins[peer];
      if (join != null) {
        usedTag[peer] = join.tag() | 1;
        position = position.max(join.position());
        returned.set(peer, returning == rank || peer == returning);
      } else {
        absent.set(peer, peer != rank && !member.isMasked(peer));
      }
    }
    member.commit(returning, position, returned, absent);
  }
}
