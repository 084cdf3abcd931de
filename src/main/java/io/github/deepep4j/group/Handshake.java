package io.github.deepep4j.group;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.security.SecureRandom;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/**
 * How a rank and rank 0 prove to each other that they know the secret, without sending it. Each
 * draws a nonce; each sends an HMAC-SHA256 over its own role and both opening messages, so that a
 * recorded proof, one for another rank or size, or one reflected to its sender is worth nothing.
 * The rank goes first. Without a secret both proofs are empty.
 */
final class Handshake {
  /** Changed with every change of the frames or of what ranks put into shared memory. */
  static final int PROTOCOL_VERSION = 1;

  private static final long MAGIC = 0x44656570_4550344AL; // "DeepEP4J"
  private static final int NONCE_BYTES = 32;
  private static final int MAC_BYTES = 32;
  private static final String MAC_ALGORITHM = "HmacSHA256";
  private static final SecureRandom RANDOM = new SecureRandom();

  private Handshake() {}

  /**
   * The opening message of either side.
   *
   * @param version of the protocol
   * @param javaVersion feature release that runs it
   * @param hasSecret whether it has a secret
   * @param rank the sender
   * @param size n as the sender knows it
   * @param maxMessageBytes as the sender knows it
   * @param remainingNanos how much longer the sender waits for the group
   * @param raw the whole message
   */
  record Opening(
      int version,
      int javaVersion,
      boolean hasSecret,
      int rank,
      int size,
      int maxMessageBytes,
      long remainingNanos,
      byte[] raw) {

    private static final int BYTES = 8 + 4 + 4 + 1 + 4 + 4 + 4 + 8 + NONCE_BYTES;

    static Opening of(TcpSettings settings, long remainingNanos) {
      byte[] nonce = new byte[NONCE_BYTES];
      RANDOM.nextBytes(nonce);
      int java = Runtime.version().feature();
      ByteBuffer raw =
          ByteBuffer.allocate(BYTES)
              .putLong(MAGIC)
              .putInt(PROTOCOL_VERSION)
              .putInt(java)
              .put((byte) (settings.hasSecret() ? 1 : 0))
              .putInt(settings.rank())
              .putInt(settings.size())
              .putInt(settings.maxMessageBytes())
              .putLong(remainingNanos)
              .put(nonce);
      return new Opening(
          PROTOCOL_VERSION,
          java,
          settings.hasSecret(),
          settings.rank(),
          settings.size(),
          settings.maxMessageBytes(),
          remainingNanos,
          raw.array());
    }

    /**
     * Reads a peer's opening.
     *
     * @throws IOException if it is not one
     */
    static Opening read(ByteBuffer payload) throws IOException {
      byte[] raw = Wire.bytes(payload);
      ByteBuffer in = ByteBuffer.wrap(raw);
      Wire.requireBytes(in, 16);
      if (in.getLong() != MAGIC) {
        throw new IOException("it does not speak DeepEP4J's protocol");
      }
      int version = in.getInt();
      int java = in.getInt();
      if (version != PROTOCOL_VERSION) {
        // What follows may have another form.
        return new Opening(version, java, false, -1, 0, 0, 0, raw);
      }
      if (raw.length != BYTES) {
        throw new IOException("an opening must have " + BYTES + " bytes: " + raw.length);
      }
      return new Opening(
          version, java, in.get() != 0, in.getInt(), in.getInt(), in.getInt(), in.getLong(), raw);
    }
  }

  /** Who computes a proof. */
  enum Role {
    MEMBER,
    RANK_ZERO
  }

  /** A side's proof, empty without a secret. */
  static byte[] proof(TcpSettings settings, Role role, Opening hello, Opening challenge) {
    if (!settings.hasSecret()) {
      return new byte[0];
    }
    try {
      Mac mac = Mac.getInstance(MAC_ALGORITHM);
      mac.init(new SecretKeySpec(settings.secretBytes(), MAC_ALGORITHM));
      mac.update(("DeepEP4J group " + role).getBytes(StandardCharsets.US_ASCII));
      mac.update(hello.raw());
      mac.update(challenge.raw());
      return mac.doFinal();
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("every JDK has " + MAC_ALGORITHM, e);
    }
  }

  /** Whether a proof is the other side's, in a time that does not depend on it. */
  static boolean proves(
      TcpSettings settings, Role role, Opening hello, Opening challenge, byte[] seen) {
    byte[] expected = proof(settings, role, hello, challenge);
    return seen.length == (settings.hasSecret() ? MAC_BYTES : 0)
        && MessageDigest.isEqual(expected, seen);
  }
}
