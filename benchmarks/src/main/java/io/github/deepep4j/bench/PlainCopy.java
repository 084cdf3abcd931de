package io.github.deepep4j.bench;

import java.nio.ByteBuffer;

/**
 * The yardstick: one rank's thread copies as many bytes as an operation moves for it, from one
 * direct buffer to another, both touched before, by the JDK's own bulk copy.
 */
final class PlainCopy {
  /** A buffer holds at most 2 GiB. */
  private static final int CHUNK_BYTES = 1 << 30;

  private final ByteBuffer[] from;
  private final ByteBuffer[] to;

  PlainCopy(long bytes) {
    int chunks = (int) ((bytes + CHUNK_BYTES - 1) / CHUNK_BYTES);
    from = new ByteBuffer[chunks];
    to = new ByteBuffer[chunks];
    for (int i = 0; i < chunks; i++) {
      int size = (int) Math.min(CHUNK_BYTES, bytes - (long) i * CHUNK_BYTES);
      from[i] = touched(size, (byte) 1);
      to[i] = touched(size, (byte) 2);
    }
  }

  private static ByteBuffer touched(int bytes, byte value) {
    ByteBuffer buffer = ByteBuffer.allocateDirect(bytes);
    for (int i = 0; i < bytes; i++) {
      buffer.put(i, value);
    }
    return buffer;
  }

  void run() {
    for (int i = 0; i < from.length; i++) {
      to[i].put(0, from[i], 0, from[i].capacity());
    }
  }
}
