package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.internal.backend.Unmask;
import java.util.BitSet;
import java.util.function.BooleanSupplier;

/** This rank's end of a buffer, as an unmask needs it. */
final class CpuMember implements Unmask.Member {
  private final RankContext context;
  private final Peers peers;
  private final ControlLayout control;
  private final Peers.Pardon[] pardons;

  CpuMember(RankContext context) {
    this.context = context;
    this.peers = context.peers;
    this.control = context.windowLayout.control();
    this.pardons = new Peers.Pardon[context.numRanks];
  }

  @Override
  public int rank() {
    return context.rank;
  }

  @Override
  public int numRanks() {
    return context.numRanks;
  }

  @Override
  public Unmask.Position position() {
    return context.position();
  }

  @Override
  public boolean isMasked(int peer) {
    return peers.isMasked(peer);
  }

  @Override
  public boolean hasLeftMasked(int peer) {
    return peers.hasLeftMasked(peer);
  }

  @Override
  public boolean isOver(int peer) {
    return peers.hasClosed(peer) || peers.knownDead(peer);
  }

  @Override
  public long join(int owner, int writer) {
    return peers.at(owner, control.join(writer));
  }

  @Override
  public void startStage() {
    context.waits.startStage();
  }

  @Override
  public boolean awaitMembers(int peer, BooleanSupplier ready) {
    return context.waits.awaitMembers(peer, ready);
  }

  @Override
  public void checkFailedPeers() {
    context.waits.checkFailedPeers();
  }

  @Override
  public void readPardons() {
    for (int peer = 0; peer < pardons.length; peer++) {
      pardons[peer] = peers.readPardon(peer);
    }
  }

  @Override
  public void commit(int returning, Unmask.Position position, BitSet returned, BitSet absent) {
    absent.stream().forEach(context::mask);
    returned.stream().forEach(peer -> peers.welcome(peer, pardons[peer]));
    returned.stream().forEach(context::forget);
    if (returning == context.rank) {
      peers.comeBack();
    }
    context.moveTo(position, returned);
  }
}
