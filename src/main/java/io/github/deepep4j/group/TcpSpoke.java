package io.github.deepep4j.group;

import io.github.deepep4j.group.Handshake.Opening;
import io.github.deepep4j.group.Handshake.Role;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** The end of every rank but 0: one connection, to rank 0, tried again until the group forms. */
final class TcpSpoke extends TcpEnd implements Link.Listener {
  private static final long FIRST_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(20);
  private static final long LONGEST_PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(500);

  /** For one attempt; whoever listens there may be silent, or not rank 0. */
  private static final long ATTEMPT_NANOS = TimeUnit.SECONDS.toNanos(10);

  private @Nullable Link link;
  private @Nullable Opening hello;
  private @Nullable Opening challenge;
  private boolean joined;
  private int attempts;
  private long pauseNanos = FIRST_PAUSE_NANOS;

  /** When to try again, or to give an attempt up. */
  private long nextStep;

  private String lastFailure = "no attempt was made";

  TcpSpoke(TcpSettings settings) throws IOException {
    super(settings);
  }

  @Override
  void begin() {
    nextStep = System.nanoTime();
  }

  @Override
  public long tick(long now) {
    if (joined || hasEnded()) {
      return Long.MAX_VALUE;
    }
    if (nextStep - now <= 0) {
      Link attempt = link;
      if (attempt != null) {
        attempt.close();
        retryAfter(
            "rank 0 did not answer within " + TimeUnit.NANOSECONDS.toSeconds(ATTEMPT_NANOS) + " s");
      } else {
        attempt();
      }
    }
    return nextStep - System.nanoTime();
  }

  private void attempt() {
    nextStep = System.nanoTime() + ATTEMPT_NANOS;
    try {
      InetSocketAddress address = resolve();
      if (hasEnded()) {
        return;
      }
      SocketChannel channel = SocketChannel.open();
      try {
        channel.configureBlocking(false);
        boolean connected = channel.connect(address);
        link = new Link(loop, channel, this);
        if (connected) {
          connected(link);
        }
      } catch (IOException e) {
        channel.close();
        throw e;
      }
    } catch (IOException e) {
      retryAfter(String.valueOf(e.getMessage()));
    }
  }

  /** A name server can take seconds, in which the caller must be able to see its deadline. */
  private InetSocketAddress resolve() throws UnknownHostException {
    int attempt = attempts++;
    lock.unlock();
    try {
      return settings.connectAddress(attempt);
    } finally {
      lock.lock();
    }
  }

  private void retryAfter(String failure) {
    lastFailure = failure;
    link = null;
    hello = null;
    challenge = null;
    nextStep = System.nanoTime() + pauseNanos;
    pauseNanos = Math.min(2 * pauseNanos, LONGEST_PAUSE_NANOS);
    loop.wake();
  }

  @Override
  public void connected(Link connection) {
    hello = Opening.of(settings, formingDeadline - System.nanoTime());
    connection.send(Wire.frame(Wire.HELLO, hello.raw()));
  }

  @Override
  public void frame(Link connection, byte type, ByteBuffer payload) throws IOException {
    switch (type) {
      case Wire.CHALLENGE -> answer(connection, payload);
      case Wire.WELCOME -> join(connection, Wire.bytes(payload));
      case Wire.REFUSED -> refused(connection, Wire.text(payload));
      case Wire.START -> start();
      case Wire.PART -> part(payload);
      case Wire.END -> {
        requireJoined(type);
        Wire.requireBytes(payload, 8);
        long fromRound = payload.getLong();
        endWith(fromRound, Wire.readEnd(payload));
      }
      default -> throw outOfTurn(type);
    }
  }

  private void answer(Link connection, ByteBuffer payload) throws IOException {
    if (hello == null || challenge != null) {
      throw outOfTurn(Wire.CHALLENGE);
    }
    Opening seen = Opening.read(payload);
    if (seen.version() != Handshake.PROTOCOL_VERSION) {
      throw new IOException(
          "the protocol version must be " + Handshake.PROTOCOL_VERSION + ": " + seen.version());
    }
    challenge = seen;
    connection.send(Wire.frame(Wire.PROOF, Handshake.proof(settings, Role.MEMBER, hello, seen)));
  }

  private void join(Link connection, byte[] proof) throws IOException {
    if (joined || hello == null || challenge == null) {
      throw outOfTurn(Wire.WELCOME);
    }
    if (!Handshake.proves(settings, Role.RANK_ZERO, hello, challenge, proof)) {
      throw new IOException("who listens at " + settings.where() + " does not know the secret");
    }
    joined = true;
    connection.allowFrames(Wire.maxFrameBytes(settings.maxMessageBytes()));
  }

  private void refused(Link connection, String reason) throws IOException {
    if (joined) {
      throw outOfTurn(Wire.REFUSED);
    }
    connection.close();
    endWith(
        0,
        GroupEnd.broken(
            settings.rank(),
            settings.rank(),
            "rank 0 at " + settings.where() + " refused rank " + settings.rank() + ": " + reason));
  }

  private void start() throws IOException {
    requireJoined(Wire.START);
    formed = true;
    changed.signalAll();
  }

  private void part(ByteBuffer payload) throws IOException {
    Wire.requireBytes(payload, 12);
    long of = payload.getLong();
    int rank = payload.getInt();
    boolean expected =
        formed
            && of == round
            && rank >= 0
            && rank < settings.size()
            && parts[settings.rank()] != null
            && parts[rank] == null;
    if (!expected) {
      throw new IOException("rank " + rank + "'s part of round " + of + " is not expected");
    }
    put(rank, Wire.bytes(payload));
  }

  private void requireJoined(byte type) throws IOException {
    if (!joined) {
      throw outOfTurn(type);
    }
  }

  private static IOException outOfTurn(byte type) {
    return new IOException("a frame of type " + type + " is out of turn");
  }

  @Override
  public void ended(Link connection, String reason) {
    if (formed) {
      link = null;
      endWith(
          round,
          GroupEnd.broken(
              settings.rank(),
              0,
              "the connection to rank 0 ended ("
                  + reason
                  + "): its process has died, or the network has failed"));
      return;
    }
    joined = false;
    retryAfter(reason);
  }

  @Override
  void contribute(byte[] part) {
    Link connection = link;
    if (connection != null) {
      connection.send(
          Wire.contribute(round, settings.timeout().toNanos(), part.length), ByteBuffer.wrap(part));
    }
    put(settings.rank(), part);
  }

  @Override
  boolean isHandedOver() {
    return true;
  }

  @Override
  GroupEnd late() {
    return GroupEnd.timedOut(
        settings.rank(),
        0,
        (formed
                ? "rank 0 has said nothing"
                : joined
                    ? "rank 0 at " + settings.where() + " has not started the group"
                    : "it can't be joined at " + settings.where() + " (" + lastFailure + ")")
            + "; the timeout is "
            + (formed ? settings.timeout() : settings.formingTimeout()));
  }

  @Override
  boolean hasVerdictToWaitFor() {
    return joined;
  }

  @Override
  void tellEnd(long fromRound, GroupEnd reason) {
    Link connection = link;
    if (connection != null && joined && reason.origin() == settings.rank()) {
      connection.send(Wire.end(fromRound, reason));
    }
  }

  @Override
  void disconnect(boolean wasFormed) {
    Link connection = link;
    if (connection != null) {
      if (joined) {
        connection.send(Wire.frame(Wire.LEAVE, new byte[0]));
      }
      connection.close();
    }
  }
}
