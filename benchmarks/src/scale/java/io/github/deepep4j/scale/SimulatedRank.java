package io.github.deepep4j.scale;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;

/** A rank's servers, what it has to send, and its credits. */
final class SimulatedRank {
  /** Chunks that may be prepared before the card takes them up: enough that it never waits. */
  private static final int MOST_PREPARED = 4;

  final Server sm;
  final Server nicOut;
  final Server nicIn;
  final Server linkOut;
  final Server linkIn;

  /** What this rank sends, by the node of the receiver; the own node's never cross the network. */
  final List<Deque<Chunk>> outgoing = new ArrayList<>();

  private final int ownNode;
  private final int[] credits;
  private int nextNode;
  private int prepared;
  private double stagingBytes;
  private double peakStagingBytes;

  SimulatedRank(Machine machine, Workload workload, int ownNode) {
    this.ownNode = ownNode;
    sm = new Server(machine.smGbs() * machine.sms());
    nicOut = new Server(machine.nicGbs());
    nicIn = new Server(machine.nicGbs());
    linkOut = new Server(machine.nvlinkGbs());
    linkIn = new Server(machine.nvlinkGbs());
    credits = new int[workload.numNodes()];
    Arrays.fill(credits, workload.window());
    // Each node starts with the one after it, lest all send to the same one at first.
    nextNode = (ownNode + 1) % workload.numNodes();
  }

  /** The next chunk that there is room and a credit for, node by node in turn; else none. */
  Chunk nextToPrepare() {
    for (int i = 0; i < credits.length && prepared < MOST_PREPARED; i++) {
      int node = (nextNode + i) % credits.length;
      if (node != ownNode && credits[node] > 0 && !outgoing.get(node).isEmpty()) {
        credits[node]--;
        prepared++;
        nextNode = (node + 1) % credits.length;
        return outgoing.get(node).remove();
      }
    }
    return Chunk.NONE;
  }

  void hasRoom() {
    prepared--;
  }

  void credit(int node) {
    credits[node]++;
  }

  void stage(double bytes) {
    stagingBytes += bytes;
    peakStagingBytes = Math.max(peakStagingBytes, stagingBytes);
  }

  void unstage(double bytes) {
    stagingBytes -= bytes;
  }

  double peakStagingBytes() {
    return peakStagingBytes;
  }
}
