package io.github.deepep4j.group;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.concurrent.ThreadLocalRandom;

/**
 * A port that nobody listens on, now. It is below the range from which systems take ports for
 * outgoing connections: a rank that tries again and again to reach a port of that range may get it
 * for its own end, and be connected to itself.
 */
public final class FreePort {
  private static final int FIRST = 10_000;
  private static final int END = 30_000;
  private static final int ATTEMPTS = 100;

  private FreePort() {}

  /**
   * Looks for one.
   *
   * @return the port
   */
  public static int find() {
    IOException last = new IOException("no attempt");
    for (int i = 0; i < ATTEMPTS; i++) {
      int port = ThreadLocalRandom.current().nextInt(FIRST, END);
      try (ServerSocket socket = new ServerSocket(port, 1, InetAddress.getLoopbackAddress())) {
        return socket.getLocalPort();
      } catch (IOException e) {
        last = e;
      }
    }
    throw new AssertionError("no free port from " + FIRST + " to " + END, last);
  }
}
