package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.Statistics;
import io.github.deepep4j.internal.backend.Topology;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Rows and bytes per peer and mode, and between nodes, counted by the rank's own thread. */
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

  /**
   * Normal-mode payload between this rank and the nodes of others: what a transfer that crosses the
   * network once per (token, node) takes. The ranks of this backend share memory, so nothing is
   * really staged.
   */
  static final class Network {
    private final Topology topology;
    private final int ownNode;
    private final long[] rowsSent;
    private final long[] bytesSent;
    private final long[] rowsCombined;
    private final long[] bytesCombined;

    /** Last token of the call under way that each node was sent; a call starts by forgetting. */
    private final int[] lastToken;

    private Network(Topology topology, int rank) {
      this.topology = topology;
      this.ownNode = topology.nodeOf(rank);
      int nodes = topology.numNodes();
      rowsSent = new long[nodes];
      bytesSent = new long[nodes];
      rowsCombined = new long[nodes];
      bytesCombined = new long[nodes];
      lastToken = new int[nodes];
    }

    /** Begins a dispatch's rows, which are sent token by token. */
    void startDispatch() {
      Arrays.fill(lastToken, -1);
    }

    /** A token's row went to a peer: it crosses once, however many peers of the node get it. */
    void sent(int peer, int token, long rowBytes) {
      int node = topology.nodeOf(peer);
      if (node != ownNode && lastToken[node] != token) {
        lastToken[node] = token;
        rowsSent[node]++;
        bytesSent[node] += rowBytes;
      }
    }

    /** A node's sum of one token came back. */
    void combined(int node, long rowBytes) {
      if (node != ownNode) {
        rowsCombined[node]++;
        bytesCombined[node] += rowBytes;
      }
    }

    List<Statistics.Node> snapshot() {
      List<Statistics.Node> nodes = new ArrayList<>();
      for (int node = 0; node < rowsSent.length; node++) {
        nodes.add(
            new Statistics.Node(
                rowsSent[node], bytesSent[node], rowsCombined[node], bytesCombined[node]));
      }
      return nodes;
    }
  }

  final Mode normal;
  final Mode lowLatency;
  final Network network;

  Traffic(Topology topology, int rank) {
    normal = new Mode(topology.numRanks());
    lowLatency = new Mode(topology.numRanks());
    network = new Network(topology, rank);
  }
}
