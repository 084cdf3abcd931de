package io.github.deepep4j.group;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * What one rank is told about its group, checked.
 *
 * @param rank this member
 * @param size n
 * @param localRank index on its machine
 * @param address where rank 0 listens
 * @param port where rank 0 listens
 * @param formingTimeout deadline of forming the group
 * @param timeout deadline of each exchange
 * @param maxMessageBytes of one rank's part of an exchange
 * @param secret shared by all ranks; null for none
 * @param beyondLoopback whether rank 0 may listen on every interface
 */
record TcpSettings(
    int rank,
    int size,
    int localRank,
    String address,
    int port,
    Duration formingTimeout,
    Duration timeout,
    int maxMessageBytes,
    @Nullable String secret,
    boolean beyondLoopback) {

  /** Frames add a few bytes; 1 GiB leaves room for them in an int. */
  static final int LARGEST_MESSAGE = 1 << 30;

  TcpSettings {
    if (size < 1) {
      throw new IllegalArgumentException("the group's size (WORLD_SIZE) must be >= 1: " + size);
    }
    if (rank < 0 || rank >= size) {
      throw new IllegalArgumentException(
          "rank (RANK) must be from 0 to " + (size - 1) + ": " + rank);
    }
    if (localRank < 0) {
      throw new IllegalArgumentException("localRank (LOCAL_RANK) must be >= 0: " + localRank);
    }
    if (address.isBlank()) {
      throw new IllegalArgumentException("address (MASTER_ADDR) must not be empty");
    }
    if (size > 1 && (port < 1 || port > 65_535)) {
      throw new IllegalArgumentException("port (MASTER_PORT) must be from 1 to 65535: " + port);
    }
    requirePositive(formingTimeout, "formingTimeout");
    requirePositive(timeout, "timeout");
    if (maxMessageBytes < 0 || maxMessageBytes > LARGEST_MESSAGE) {
      throw new IllegalArgumentException(
          "maxMessageBytes must be from 0 to " + LARGEST_MESSAGE + ": " + maxMessageBytes);
    }
    if (secret != null && secret.isEmpty()) {
      throw new IllegalArgumentException(
          "the secret (DEEPEP4J_SECRET) is set but empty: set it to a long random text, or unset"
              + " it");
    }
  }

  private static void requirePositive(Duration value, String name) {
    if (value.isZero() || value.isNegative()) {
      throw new IllegalArgumentException(name + " must be more than zero: " + value);
    }
  }

  boolean hasSecret() {
    return secret != null;
  }

  byte[] secretBytes() {
    return secret == null ? new byte[0] : secret.getBytes(StandardCharsets.UTF_8);
  }

  /**
   * Refuses a group without a secret that others than this machine could join. Every rank checks
   * it, so that all of them fail with the same words and none waits for a rank 0 that never
   * listens.
   */
  void checkReach() {
    if (hasSecret() || beyondLoopback) {
      return;
    }
    try {
      InetAddress resolved = InetAddress.getByName(address);
      if (!resolved.isLoopbackAddress()) {
        throw new IllegalArgumentException(
            "without a secret a group listens on loopback only, and "
                + address
                + " is "
                + resolved.getHostAddress()
                + ": set DEEPEP4J_SECRET to the same random text on all ranks, or set"
                + " DEEPEP4J_LISTEN_ANY=1 where every machine that reaches the port is trusted");
      }
    } catch (UnknownHostException e) {
      // It may be known later; the connection is retried and rank 0 checks what it listens on.
      return;
    }
  }

  /** Where rank 0 listens: no further out than it has to. */
  InetSocketAddress listenAddress() throws UnknownHostException {
    if (beyondLoopback) {
      return new InetSocketAddress(port);
    }
    InetAddress resolved = InetAddress.getByName(address);
    if (resolved.isLoopbackAddress()) {
      return new InetSocketAddress(resolved, port);
    }
    // The name may be that of a service or a translated address, which no interface here has.
    return new InetSocketAddress(port);
  }

  /** Where a rank finds rank 0, one address per attempt: a name may have several. */
  InetSocketAddress connectAddress(int attempt) throws UnknownHostException {
    InetAddress[] all = InetAddress.getAllByName(address);
    return new InetSocketAddress(all[attempt % all.length], port);
  }

  String where() {
    return address + ":" + port;
  }

  @Override
  public String toString() {
    return "rank "
        + rank
        + " of "
        + size
        + " at "
        + where()
        + (hasSecret() ? " with a secret" : "");
  }
}
