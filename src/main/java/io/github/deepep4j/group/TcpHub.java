package io.github.deepep4j.group;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Rank 0's end: everybody's parts come here and go out from here. It is also the judge: it knows
 * who is missing when a deadline passes, and who is gone.
 */
final class TcpHub extends TcpEnd implements TcpLobby.Host {
  private final TcpLobby lobby;

  /** By rank; null for rank 0 itself, for who has not joined and for who is gone. */
  private final @Nullable Link[] members;

  /** Who waits the shortest: for the group, then in each round. */
  private long deadline = Long.MAX_VALUE;

  private boolean hasDeadline;
  private int deadlineOf;

  TcpHub(TcpSettings settings) throws IOException {
    super(settings);
    this.lobby = new TcpLobby(settings, loop, this);
    this.members = new Link[settings.size()];
  }

  @Override
  void begin() throws IOException {
    noteDeadline(formingDeadline, 0);
    if (settings.size() == 1) {
      formed = true;
      hasDeadline = false;
    } else {
      lobby.open();
    }
  }

  private void noteDeadline(long candidate, int rank) {
    if (!hasDeadline || candidate - deadline < 0) {
      hasDeadline = true;
      deadline = candidate;
      deadlineOf = rank;
      loop.wake();
    }
  }

  @Override
  public long tick(long now) {
    long next = formed ? Long.MAX_VALUE : lobby.tick(now);
    if (!hasDeadline || hasEnded()) {
      return next;
    }
    long remaining = deadline - now;
    if (remaining > 0) {
      return Math.min(next, remaining);
    }
    endWith(round, late());
    return next;
  }

  @Override
  GroupEnd late() {
    if (!formed) {
      List<Integer> missing = missing();
      List<String> refusals = lobby.refusals();
      return GroupEnd.timedOut(
          deadlineOf,
          missing.get(0),
          "ranks "
              + missing
              + " of "
              + settings.size()
              + " have not joined at "
              + settings.where()
              + " in time (rank 0's timeout is "
              + settings.formingTimeout()
              + ")"
              + (refusals.isEmpty() ? "" : "; refused: " + String.join("; ", refusals)));
    }
    for (int rank = 1; rank < members.length; rank++) {
      Link link = members[rank];
      if (link != null && !link.isSent()) {
        return GroupEnd.timedOut(0, rank, "it does not take what it is sent");
      }
    }
    return GroupEnd.timedOut(
        hasDeadline ? deadlineOf : 0,
        firstMissing(),
        "the deadline of an exchange has passed (rank 0's timeout is " + settings.timeout() + ")");
  }

  private List<Integer> missing() {
    List<Integer> missing = new ArrayList<>();
    for (int rank = 1; rank < members.length; rank++) {
      if (members[rank] == null) {
        missing.add(rank);
      }
    }
    return missing;
  }

  @Override
  boolean hasVerdictToWaitFor() {
    return false;
  }

  @Override
  public boolean hasJoined(int rank) {
    return rank == 0 || members[rank] != null;
  }

  @Override
  public void joined(int rank, Link link, long remainingNanos) {
    members[rank] = link;
    noteDeadline(System.nanoTime() + Math.max(0, remainingNanos), rank);
    if (missing().isEmpty() && !hasEnded()) {
      lobby.close();
      formed = true;
      hasDeadline = false;
      for (Link member : members) {
        if (member != null) {
          member.send(Wire.frame(Wire.START, new byte[0]));
        }
      }
      changed.signalAll();
    }
  }

  @Override
  public void frame(int rank, byte type, ByteBuffer payload) throws IOException {
    switch (type) {
      case Wire.CONTRIBUTE -> {
        Wire.requireBytes(payload, 16);
        long of = payload.getLong();
        long remaining = payload.getLong();
        if (!formed || of != round || parts[rank] != null) {
          throw new IOException("round " + round + " is gathered, and its part is for " + of);
        }
        take(rank, Wire.bytes(payload), System.nanoTime() + Math.max(0, remaining));
      }
      case Wire.END -> {
        Wire.requireBytes(payload, 8);
        long fromRound = payload.getLong();
        endWith(fromRound, Wire.readEnd(payload));
      }
      case Wire.LEAVE -> gone(rank, GroupEnd.left(rank));
      default -> throw new IOException("a frame of type " + type + " is out of turn");
    }
  }

  @Override
  void contribute(byte[] part) {
    take(0, part, System.nanoTime() + settings.timeout().toNanos());
  }

  private void take(int rank, byte[] part, long rankDeadline) {
    long taken = round;
    byte[][] gathered = parts;
    noteDeadline(rankDeadline, rank);
    put(rank, part);
    if (round > taken) {
      hasDeadline = false;
      sendAll(taken, gathered);
    }
  }

  /** Gives every member what it does not have yet. */
  private void sendAll(long of, byte[][] gathered) {
    for (int to = 1; to < members.length; to++) {
      Link link = members[to];
      for (int from = 0; link != null && from < gathered.length; from++) {
        if (from != to) {
          byte[] part = gathered[from];
          link.send(Wire.part(of, from, part.length), ByteBuffer.wrap(part));
        }
      }
    }
  }

  @Override
  boolean isHandedOver() {
    for (Link link : members) {
      if (link != null && !link.isSent()) {
        return false;
      }
    }
    return true;
  }

  @Override
  public void sent() {
    changed.signalAll();
  }

  @Override
  public void ended(int rank, String reason) {
    gone(
        rank,
        GroupEnd.broken(
            0,
            rank,
            "rank "
                + rank
                + "'s connection ended without a farewell ("
                + reason
                + "): its process has died, or its network has failed"));
  }

  /** A rank that is gone ends the group, but not a round that has its part. */
  private void gone(int rank, GroupEnd reason) {
    Link link = members[rank];
    members[rank] = null;
    if (link != null) {
      link.close();
    }
    changed.signalAll();
    // Until the group has formed, another process may still join in its place.
    if (formed) {
      endWith(parts[rank] == null ? round : round + 1, reason);
    }
  }

  @Override
  void tellEnd(long fromRound, GroupEnd reason) {
    for (Link link : members) {
      if (link != null) {
        link.send(Wire.end(fromRound, reason));
      }
    }
  }

  @Override
  void disconnect(boolean wasFormed) {
    endWith(wasFormed ? round : 0, GroupEnd.left(0));
    lobby.close();
    for (Link link : members) {
      if (link != null) {
        link.close();
      }
    }
  }
}
