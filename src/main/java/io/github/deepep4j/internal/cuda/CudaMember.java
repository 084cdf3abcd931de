package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.backend.Unmask;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.WelcomeCall;
import java.util.BitSet;
import java.util.function.BooleanSupplier;

/**
 * This rank's end of a buffer, as an unmask needs it. The ranks agree on the host, in memory that
 * their processes share; each device only has to be idle before, and to be told the end: whom it
 * sees again, which marks of masks and departures are void, and from which epoch all go on.
 */
final class CudaMember implements Unmask.Member, AutoCloseable {
  private static final String OPERATION = "unmask";
  private static final long LOOK_PERIOD_NANOS = 20_000_000L;
  private static final long WELCOME_NANOS = 5_000_000_000L;

  private final CudaRank rank;
  private final Peers peers;
  private final CudaStanding standing;
  private final WelcomeCall welcome = new WelcomeCall();
  private long deadline;

  CudaMember(CudaRank rank, Peers peers, CudaStanding standing) {
    this.rank = rank;
    this.peers = peers;
    this.standing = standing;
  }

  /**
   * Waits until no kernel of a call runs, and asks where this rank stands.
   *
   * @throws EpException if they do not end before the buffer's deadline
   */
  void settle() {
    startStage();
    Backoff backoff = new Backoff(rank.options.tuning());
    while (true) {
      int status = Ep4jNative.idle(rank.buffer);
      if (status != Abi.PENDING) {
        rank.require(status, OPERATION);
        break;
      }
      requirePause(backoff, rank.rank);
      if (System.nanoTime() - deadline >= 0) {
        throw new EpException(
            EpException.Code.DEVICE,
            rank.rank,
            OPERATION,
            "the buffer's calls are still running after "
                + rank.options.timeout().toMillis()
                + " ms");
      }
    }
    standing.look(OPERATION);
  }

  private void requirePause(Backoff backoff, int peer) {
    if (!backoff.pause()) {
      throw new EpException(
          EpException.Code.INTERRUPTED,
          rank.rank,
          OPERATION,
          "the thread was interrupted while it waited for rank " + peer + " (" + OPERATION + ")");
    }
  }

  @Override
  public int rank() {
    return rank.rank;
  }

  @Override
  public int numRanks() {
    return rank.numRanks;
  }

  @Override
  public Unmask.Position position() {
    return new Unmask.Position(
        standing.epoch(), standing.dispatches(), standing.lowLatencyDispatches());
  }

  @Override
  public boolean isMasked(int peer) {
    return (rank.maskedBits() >>> peer & 1) != 0;
  }

  @Override
  public boolean hasLeftMasked(int peer) {
    return standing.hasLeftMasked(peer);
  }

  @Override
  public boolean isOver(int peer) {
    return peers.isGone(peer);
  }

  @Override
  public long join(int owner, int writer) {
    return peers.join(owner, writer);
  }

  @Override
  public void startStage() {
    deadline = System.nanoTime() + rank.options.timeout().toNanos();
  }

  @Override
  public boolean awaitMembers(int peer, BooleanSupplier ready) {
    Backoff backoff = new Backoff(rank.options.tuning());
    long nextLook = System.nanoTime() + LOOK_PERIOD_NANOS;
    while (!ready.getAsBoolean()) {
      requirePause(backoff, peer);
      long now = System.nanoTime();
      if (now - deadline >= 0) {
        return ready.getAsBoolean();
      }
      if (now - nextLook >= 0) {
        nextLook = now + LOOK_PERIOD_NANOS;
        standing.look(OPERATION); // who has left meanwhile
      }
    }
    return true;
  }

  /** Its device has told this one, which then is not idle but has failed, too. */
  @Override
  public void checkFailedPeers() {
    rank.faults.checkUsable();
  }

  @Override
  public void readPardons() {
    standing.look(OPERATION);
    welcome.reset();
    for (int peer = 0; peer < rank.numRanks; peer++) {
      welcome.putLong(WelcomeCall.MASK_TAGS + Long.BYTES * peer, standing.maskTag(peer));
      welcome.putLong(WelcomeCall.FAILURE_TAGS + Long.BYTES * peer, standing.failureTag(peer));
    }
  }

  @Override
  public void commit(int returning, Unmask.Position position, BitSet returned, BitSet absent) {
    for (int peer = absent.nextSetBit(0); peer >= 0; peer = absent.nextSetBit(peer + 1)) {
      rank.require(Ep4jNative.mask(rank.buffer, peer), OPERATION);
    }
    long members = returned.isEmpty() ? 0 : returned.toLongArray()[0];
    welcome.putLong(WelcomeCall.MEMBERS, members);
    welcome.putLong(WelcomeCall.EPOCH, position.epoch());
    welcome.putLong(WelcomeCall.DISPATCHES, position.dispatches());
    welcome.putLong(WelcomeCall.LOW_LATENCY_DISPATCHES, position.lowLatencyDispatches());
    welcome.putLong(WelcomeCall.WAIT_NANOS, WELCOME_NANOS);
    int status = Ep4jNative.welcome(rank.buffer, welcome.address());
    if (status != Abi.PENDING) { // later calls come after it in any case
      rank.require(status, OPERATION);
    }
    rank.faults.unmasked();
    rank.moveTo(position.epoch());
  }

  @Override
  public void close() {
    welcome.close();
  }
}
