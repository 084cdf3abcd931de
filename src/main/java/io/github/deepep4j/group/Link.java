package io.github.deepep4j.group;

import java.io.IOException;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.Deque;
import org.jspecify.annotations.Nullable;

/**
 * One connection, never blocking: takes bytes apart into frames and keeps what the network does not
 * take yet. Everything is called under the end's lock.
 */
final class Link implements EventLoop.Handler {
  /** Bounds the JDK's hidden buffers and how long one connection keeps the others waiting. */
  private static final int CHUNK_BYTES = 64 * 1024;

  private static final int CHUNKS_PER_TURN = 16;

  /** What is told about a connection. */
  interface Listener {
    /** The connection is made; the first frame may be sent. */
    default void connected(Link link) {}

    /**
     * A frame has come.
     *
     * @throws IOException if it may not come now, which closes the connection
     */
    void frame(Link link, byte type, ByteBuffer payload) throws IOException;

    /** Everything that was to be sent has gone to the network. */
    default void sent() {}

    /** The connection has ended, once, and not by {@link #close}. */
    void ended(Link link, String reason);
  }

  private final EventLoop loop;
  private final SocketChannel channel;
  private final SelectionKey key;
  private final Listener listener;
  private final ByteBuffer header = ByteBuffer.allocate(Wire.HEADER_BYTES);
  private final Deque<ByteBuffer> unsent = new ArrayDeque<>();
  private @Nullable ByteBuffer payload;
  private int maxFrameBytes = Wire.MAX_HANDSHAKE_BYTES;
  private boolean closeWhenSent;
  private boolean closed;

  /** Takes over an accepted connection, or one whose connect was begun. */
  Link(EventLoop loop, SocketChannel channel, Listener listener) throws IOException {
    this.loop = loop;
    this.channel = channel;
    this.listener = listener;
    channel.configureBlocking(false);
    channel.setOption(StandardSocketOptions.TCP_NODELAY, true);
    channel.setOption(StandardSocketOptions.SO_KEEPALIVE, true);
    int interest = channel.isConnected() ? SelectionKey.OP_READ : SelectionKey.OP_CONNECT;
    this.key = loop.register(channel, interest, this);
  }

  /** Raises the limit for a peer that has proved who it is. */
  void allowFrames(int maxBytes) {
    maxFrameBytes = maxBytes;
  }

  boolean isSent() {
    return unsent.isEmpty();
  }

  boolean isClosed() {
    return closed;
  }

  /** Sends buffers in order: what the network takes now, at once. */
  void send(ByteBuffer... buffers) {
    if (closed) {
      return;
    }
    for (ByteBuffer buffer : buffers) {
      if (buffer.hasRemaining()) {
        unsent.add(buffer);
      }
    }
    try {
      flush();
    } catch (IOException e) {
      end(String.valueOf(e.getMessage()));
    }
  }

  /** Sends a last frame and closes. */
  void sendAndClose(ByteBuffer last) {
    closeWhenSent = true;
    send(last);
  }

  /** Closes without telling the listener. */
  void close() {
    if (!closed) {
      closed = true;
      unsent.clear();
      try {
        channel.close();
      } catch (IOException e) {
        // It carries nothing any more; the descriptor is gone either way.
        payload = null;
      }
    }
  }

  @Override
  public void ready() {
    try {
      if (key.isConnectable()) {
        channel.finishConnect();
        key.interestOps(SelectionKey.OP_READ);
        listener.connected(this);
      } else {
        if (key.isWritable()) {
          flush();
          if (isSent()) {
            listener.sent();
          }
        }
        if (!closed && key.isReadable()) {
          read();
        }
      }
    } catch (IOException e) {
      end(String.valueOf(e.getMessage()));
    }
  }

  private void end(String reason) {
    if (!closed) {
      close();
      listener.ended(this, reason);
    }
  }

  private void flush() throws IOException {
    while (!unsent.isEmpty()) {
      ByteBuffer first = unsent.element();
      int limit = first.limit();
      first.limit(Math.min(limit, first.position() + CHUNK_BYTES));
      int written = channel.write(first);
      first.limit(limit);
      if (!first.hasRemaining()) {
        unsent.remove();
      } else if (written == 0) {
        break;
      }
    }
    if (unsent.isEmpty() && closeWhenSent) {
      close();
      return;
    }
    if (unsent.isEmpty()) {
      key.interestOps(SelectionKey.OP_READ);
    } else {
      key.interestOps(SelectionKey.OP_READ | SelectionKey.OP_WRITE);
      loop.wake();
    }
  }

  private void read() throws IOException {
    for (int chunk = 0; chunk < CHUNKS_PER_TURN && !closed; chunk++) {
      ByteBuffer into = payload == null ? header : payload;
      int limit = into.limit();
      into.limit(Math.min(limit, into.position() + CHUNK_BYTES));
      int count = channel.read(into);
      into.limit(limit);
      if (count < 0) {
        end("the connection was closed");
        return;
      }
      if (!into.hasRemaining()) {
        complete();
      } else if (count == 0) {
        return;
      }
    }
  }

  /** The header or the payload has come. */
  private void complete() throws IOException {
    ByteBuffer whole = payload;
    if (whole == null) {
      int bytes = header.getInt(0);
      if (bytes < 0 || bytes > maxFrameBytes) {
        throw new IOException("a frame may have " + maxFrameBytes + " bytes: " + bytes);
      }
      whole = ByteBuffer.allocate(bytes);
      if (bytes > 0) {
        payload = whole;
        return;
      }
    }
    byte type = header.get(4);
    header.clear();
    payload = null;
    if (!closeWhenSent) {
      listener.frame(this, type, whole.flip());
    }
  }
}
