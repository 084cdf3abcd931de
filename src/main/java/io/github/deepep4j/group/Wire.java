package io.github.deepep4j.group;

import io.github.deepep4j.error.EpException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * The frames of a {@link TcpGroup}: a 4-byte length of what follows the header, a 1-byte type, then
 * fields in network order. Nothing is deserialised but these fields.
 *
 * <pre>
 * joining rank                         rank 0
 *   HELLO(who, nonce)            ─►
 *                                ◄─    CHALLENGE(nonce)
 *   PROOF(mac over both)         ─►
 *                                ◄─    WELCOME(mac over both)     or REFUSED(why), at any point
 *                                ◄─    START                      when every rank is there
 *   CONTRIBUTE(round, bytes)     ─►
 *                                ◄─    PART(round, rank, bytes)   one per rank
 *   END(why) / LEAVE             ◄─►   END(why)
 * </pre>
 */
final class Wire {
  static final byte HELLO = 1;
  static final byte CHALLENGE = 2;
  static final byte PROOF = 3;
  static final byte WELCOME = 4;
  static final byte REFUSED = 5;
  static final byte START = 6;
  static final byte CONTRIBUTE = 7;
  static final byte PART = 8;
  static final byte END = 9;
  static final byte LEAVE = 10;

  static final int HEADER_BYTES = 5;

  /** Bounds what a stranger can make this process allocate. */
  static final int MAX_HANDSHAKE_BYTES = 1024;

  /** Longest text of a reason, so that every END and REFUSED frame fits the smallest limit. */
  private static final int MAX_TEXT_BYTES = 900;

  /** Fields beside the bytes of a message. */
  private static final int MESSAGE_FIELD_BYTES = 16;

  private static final EpException.Code[] CODES = EpException.Code.values();

  private Wire() {}

  /** The largest frame between members. */
  static int maxFrameBytes(int maxMessageBytes) {
    return Math.max(MAX_HANDSHAKE_BYTES, maxMessageBytes + MESSAGE_FIELD_BYTES);
  }

  /** A frame with nothing but bytes. */
  static ByteBuffer frame(byte type, byte[] payload) {
    return start(type, payload.length, 0).put(payload).flip();
  }

  /** A header and room for fields; {@code bodyBytes} follow in another buffer. */
  private static ByteBuffer start(byte type, int fieldBytes, int bodyBytes) {
    return ByteBuffer.allocate(HEADER_BYTES + fieldBytes).putInt(fieldBytes + bodyBytes).put(type);
  }

  /** The start of a CONTRIBUTE frame; the message follows it. */
  static ByteBuffer contribute(long round, long timeoutNanos, int messageBytes) {
    return start(CONTRIBUTE, 16, messageBytes).putLong(round).putLong(timeoutNanos).flip();
  }

  /** The start of a PART frame; the message follows it. */
  static ByteBuffer part(long round, int rank, int messageBytes) {
    return start(PART, 12, messageBytes).putLong(round).putInt(rank).flip();
  }

  static ByteBuffer refused(String reason) {
    return frame(REFUSED, utf8(reason));
  }

  /** Ends the group from a round on. */
  static ByteBuffer end(long fromRound, GroupEnd end) {
    byte[] reason = utf8(end.reason());
    return start(END, 17 + reason.length, 0)
        .putLong(fromRound)
        .put(codeByte(end.code()))
        .putInt(end.origin())
        .putInt(end.culprit())
        .put(reason)
        .flip();
  }

  /** The reason in an END frame, after its round. */
  static GroupEnd readEnd(ByteBuffer payload) throws IOException {
    requireBytes(payload, 9);
    int code = payload.get();
    if (code < 0 || code >= CODES.length) {
      throw new IOException(
          "the code of an end must be from 0 to " + (CODES.length - 1) + ": " + code);
    }
    return new GroupEnd(CODES[code], payload.getInt(), payload.getInt(), text(payload));
  }

  static String text(ByteBuffer payload) {
    return new String(bytes(payload), StandardCharsets.UTF_8);
  }

  /** What is left of a payload. */
  static byte[] bytes(ByteBuffer payload) {
    byte[] bytes = new byte[payload.remaining()];
    payload.get(bytes);
    return bytes;
  }

  static void requireBytes(ByteBuffer payload, int least) throws IOException {
    if (payload.remaining() < least) {
      throw new IOException(
          "a frame must have " + least + " more bytes, and has " + payload.remaining());
    }
  }

  @SuppressWarnings("EnumOrdinal") // the handshake refuses a peer of another protocol version
  private static byte codeByte(EpException.Code code) {
    return (byte) code.ordinal();
  }

  private static byte[] utf8(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    return bytes.length <= MAX_TEXT_BYTES ? bytes : java.util.Arrays.copyOf(bytes, MAX_TEXT_BYTES);
  }
}
