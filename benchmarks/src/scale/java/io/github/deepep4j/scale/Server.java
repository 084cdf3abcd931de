package io.github.deepep4j.scale;

/** Something that moves bytes at a fixed rate, one request after the other. */
final class Server {
  private final double bytesPerNs;
  private double freeAt;
  private double busyNs;
  private double bytes;

  /** One of a rate in GB/s, which is bytes per nanosecond. */
  Server(double gbs) {
    this.bytesPerNs = gbs;
  }

  /**
   * Queues a request behind the earlier ones.
   *
   * @param now when it is made; never before an earlier request's
   * @param size bytes
   * @return when it will be done
   */
  double reserve(double now, double size) {
    double time = size / bytesPerNs;
    freeAt = Math.max(now, freeAt) + time;
    busyNs += time;
    bytes += size;
    return freeAt;
  }

  /** When a request made now would begin. */
  double begin(double now) {
    return Math.max(now, freeAt);
  }

  /** Time spent moving. */
  double busyNs() {
    return busyNs;
  }

  /** Bytes moved. */
  double bytes() {
    return bytes;
  }
}
