package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.Statistics;
import java.util.ArrayList;
import java.util.List;

/** Rows and bytes per peer and mode, counted by the rank's own thread. */
final class Traffic {
  /** Counters of one mode, per peer. */
  static final class Mode {
    private final long[] rowsSent;
    private final long[] bytesSent;
    private final long[] rowsReceived;
    private final long[] rowsCombined;
    private final long[] waitNanos;

    private Mode(int numRanks) {
      rowsSent = new long[numRanks];
      bytesSent = new long[numRanks];
      rowsReceived = new long[numRanks];
      rowsCombined = new long[numRanks];
      waitNanos = new long[numRanks];
    }

    void sent(int peer, long rows, long rowBytes) {
      rowsSent[peer] += rows;
      bytesSent[peer] += rows * rowBytes;
    }

    void received(int peer, long rows) {
      rowsReceived[peer] += rows;
    }

    void combined(int peer) {
      rowsCombined[peer]++;
    }

    /** Nanoseconds blocked per peer, for {@link Waits} to add to. */
    long[] waitNanos() {
      return waitNanos;
    }

    List<Statistics.Peer> snapshot() {
      List<Statistics.Peer> peers = new ArrayList<>();
      for (int peer = 0; peer < rowsSent.length; peer++) {
        peers.add(
            new Statistics.Peer(
                rowsSent[peer],
                bytesSent[peer],
                rowsReceived[peer],
                rowsCombined[peer],
                waitNanos[peer]));
      }
      return peers;
    }
  }

  final Mode normal;
  final Mode lowLatency;

  Traffic(int numRanks) {
    normal = new Mode(numRanks);
    lowLatency = new Mode(numRanks);
  }
}
