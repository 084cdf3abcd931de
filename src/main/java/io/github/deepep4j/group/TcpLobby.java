package io.github.deepep4j.group;

import io.github.deepep4j.group.Handshake.Opening;
import io.github.deepep4j.group.Handshake.Role;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Where rank 0 listens while the group forms. Whoever connects has a few seconds and a few hundred
 * bytes to prove that it belongs here; anybody else is refused, and costs the group nothing.
 */
final class TcpLobby implements EventLoop.Handler {
  private static final long HANDSHAKE_NANOS = TimeUnit.SECONDS.toNanos(5);
  private static final long PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(100);
  private static final int ACCEPTS_PER_TURN = 64;

  /** Strangers that connect and say nothing must not use up the descriptors. */
  private static final int MAX_STRANGERS = 128;

  private static final int REFUSALS_KEPT = 4;
  private static final System.Logger LOG = System.getLogger(TcpGroup.class.getName());

  /** The group that ranks join. */
  interface Host {
    /** Whether a rank is there. */
    boolean hasJoined(int rank);

    /**
     * A rank has proved that it belongs here.
     *
     * @param remainingNanos how much longer it waits for the group
     */
    void joined(int rank, Link link, long remainingNanos);

    /**
     * A rank that has joined says something.
     *
     * @throws IOException if it must not, now
     */
    void frame(int rank, byte type, ByteBuffer payload) throws IOException;

    /** A rank that had joined has taken all that it was sent. */
    void sent();

    /** The connection of a rank that had joined has ended. */
    void ended(int rank, String reason);
  }

  private final TcpSettings settings;
  private final EventLoop loop;
  private final Host host;
  private final Set<Visitor> strangers = new LinkedHashSet<>();
  private final Deque<String> refusals = new ArrayDeque<>();
  private @Nullable ServerSocketChannel server;
  private @Nullable SelectionKey key;
  private long pausedUntil;
  private boolean paused;

  TcpLobby(TcpSettings settings, EventLoop loop, Host host) {
    this.settings = settings;
    this.loop = loop;
    this.host = host;
  }

  /** Begins to listen. */
  void open() throws IOException {
    InetSocketAddress address = settings.listenAddress();
    ServerSocketChannel channel = ServerSocketChannel.open();
    try {
      channel.configureBlocking(false);
      channel.bind(address);
      key = loop.register(channel, SelectionKey.OP_ACCEPT, this);
      server = channel;
    } catch (IOException e) {
      channel.close();
      throw new IOException("rank 0 can't listen on " + address + ": " + e.getMessage(), e);
    }
  }

  @Override
  public void ready() {
    ServerSocketChannel listening = server;
    try {
      for (int i = 0; i < ACCEPTS_PER_TURN && listening != null; i++) {
        SocketChannel channel = listening.accept();
        if (channel == null) {
          return;
        }
        receive(channel);
      }
    } catch (IOException e) {
      // As when descriptors run out: the connection stays ready, so leave it alone for a while.
      note("a connection could not be accepted: " + e.getMessage());
      paused = true;
      pausedUntil = System.nanoTime() + PAUSE_NANOS;
      interest(0);
    }
  }

  private void receive(SocketChannel channel) throws IOException {
    try {
      strangers.add(new Visitor(channel));
    } catch (IOException e) {
      note("a connection ended at once: " + e.getMessage());
      channel.close();
    }
    if (strangers.size() > MAX_STRANGERS) {
      Visitor oldest = strangers.iterator().next();
      strangers.remove(oldest);
      oldest.link.close();
    }
  }

  private void interest(int operations) {
    if (key != null) {
      key.interestOps(operations);
    }
  }

  /** Does what is due; returns when to come back. */
  long tick(long now) {
    long next = Long.MAX_VALUE;
    if (paused) {
      next = pausedUntil - now;
      if (next <= 0) {
        paused = false;
        interest(SelectionKey.OP_ACCEPT);
        next = Long.MAX_VALUE;
      }
    }
    for (Visitor visitor : new ArrayList<>(strangers)) {
      long remaining = visitor.deadline - now;
      if (remaining <= 0) {
        note("a connection from " + visitor.from + " did not finish its handshake");
        strangers.remove(visitor);
        visitor.link.close();
      } else {
        next = Math.min(next, remaining);
      }
    }
    return next;
  }

  /** Listens no more, and sends away who has not joined. */
  void close() {
    for (Visitor visitor : strangers) {
      visitor.link.close();
    }
    strangers.clear();
    if (server != null) {
      try {
        server.close();
      } catch (IOException e) {
        note("closing the listener: " + e.getMessage());
      }
    }
  }

  /** The last refusals, for the message of a group that does not form. */
  List<String> refusals() {
    return List.copyOf(refusals);
  }

  private void note(String refusal) {
    LOG.log(System.Logger.Level.DEBUG, "forming a group at {0}: {1}", settings.where(), refusal);
    if (refusals.size() == REFUSALS_KEPT) {
      refusals.remove();
    }
    refusals.add(refusal);
  }

  /** Whoever has connected: a stranger until it has joined. */
  private final class Visitor implements Link.Listener {
    private final Link link;
    private final String from;
    private final long deadline = System.nanoTime() + HANDSHAKE_NANOS;
    private @Nullable Opening hello;
    private @Nullable Opening challenge;
    private int rank = -1;

    Visitor(SocketChannel channel) throws IOException {
      from = String.valueOf(channel.getRemoteAddress());
      link = new Link(loop, channel, this);
    }

    @Override
    public void frame(Link connection, byte type, ByteBuffer payload) throws IOException {
      if (rank >= 0) {
        host.frame(rank, type, payload);
      } else if (type == Wire.HELLO && hello == null) {
        greet(payload);
      } else if (type == Wire.PROOF && hello != null && challenge != null) {
        admit(hello, challenge, Wire.bytes(payload));
      } else {
        throw new IOException("a frame of type " + type + " is out of turn");
      }
    }

    private void greet(ByteBuffer payload) throws IOException {
      Opening seen = Opening.read(payload);
      if (seen.version() != Handshake.PROTOCOL_VERSION) {
        refuse(
            "the protocol version must be "
                + Handshake.PROTOCOL_VERSION
                + ": "
                + seen.version()
                + " (Java "
                + seen.javaVersion()
                + ")");
      } else if (seen.hasSecret() != settings.hasSecret()) {
        refuse(
            "all ranks or none must have a secret (DEEPEP4J_SECRET): rank 0 has "
                + (settings.hasSecret() ? "one" : "none")
                + ", rank "
                + seen.rank()
                + " has "
                + (seen.hasSecret() ? "one" : "none"));
      } else {
        hello = seen;
        challenge = Opening.of(settings, 0);
        link.send(Wire.frame(Wire.CHALLENGE, challenge.raw()));
      }
    }

    private void admit(Opening seen, Opening ours, byte[] proof) {
      if (!Handshake.proves(settings, Role.MEMBER, seen, ours, proof)) {
        refuse("rank " + seen.rank() + "'s secret (DEEPEP4J_SECRET) is not rank 0's");
      } else if (seen.size() != settings.size()) {
        refuse(
            "the group's size (WORLD_SIZE) must be "
                + settings.size()
                + " as on rank 0: "
                + seen.size());
      } else if (seen.rank() < 0 || seen.rank() >= settings.size()) {
        refuse("rank (RANK) must be from 0 to " + (settings.size() - 1) + ": " + seen.rank());
      } else if (seen.maxMessageBytes() != settings.maxMessageBytes()) {
        refuse(
            "maxMessageBytes must be "
                + settings.maxMessageBytes()
                + " as on rank 0: "
                + seen.maxMessageBytes());
      } else if (host.hasJoined(seen.rank())) {
        refuse("each rank (RANK) must be given once: rank " + seen.rank() + " has joined already");
      } else {
        strangers.remove(this);
        rank = seen.rank();
        link.allowFrames(Wire.maxFrameBytes(settings.maxMessageBytes()));
        link.send(Wire.frame(Wire.WELCOME, Handshake.proof(settings, Role.RANK_ZERO, seen, ours)));
        host.joined(rank, link, seen.remainingNanos());
      }
    }

    private void refuse(String reason) {
      note(reason + " (from " + from + ")");
      strangers.remove(this);
      link.sendAndClose(Wire.refused(reason));
    }

    @Override
    public void sent() {
      if (rank >= 0) {
        host.sent();
      }
    }

    @Override
    public void ended(Link connection, String reason) {
      if (rank >= 0) {
        host.ended(rank, reason);
      } else if (strangers.remove(this)) {
        note("a connection from " + from + " ended: " + reason);
      }
    }
  }
}
