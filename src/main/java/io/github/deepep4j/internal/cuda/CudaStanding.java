package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.Statistics;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.backend.Topology;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.InternodeNative;
import io.github.deepep4j.internal.cuda.binding.NetworkTraffic;
import io.github.deepep4j.internal.cuda.binding.Standing;
import java.util.ArrayList;
import java.util.List;

/**
 * Where this rank stands, asked of its device beside the calls: how far it has come, who has masked
 * it, which regions may still be written, what has travelled. All of it lives in device memory,
 * where the calls' kernels keep it at no cost; asking takes some microseconds.
 */
final class CudaStanding implements AutoCloseable {
  /** Longer than a device takes whose multiprocessors are all busy with somebody's compute. */
  private static final long PATIENCE_NANOS = 5_000_000_000L;

  /** What a caller who only wants news is kept waiting at most. */
  private static final long GLANCE_NANOS = 5_000_000L;

  private final CudaRank rank;
  private final Standing record = new Standing();

  CudaStanding(CudaRank rank) {
    this.rank = rank;
  }

  /**
   * Asks.
   *
   * @param operation that wants to know
   * @throws EpException {@code DEVICE} if the device does not answer
   */
  void look(String operation) {
    if (!ask(PATIENCE_NANOS, operation)) {
      throw unanswered(operation);
    }
  }

  private EpException unanswered(String operation) {
    return new EpException(
        EpException.Code.DEVICE,
        rank.rank,
        operation,
        "the device has not answered within " + PATIENCE_NANOS / 1_000_000 + " ms");
  }

  /** Asks, and does without an answer from a device that is busy. */
  boolean glance(String operation) {
    return ask(GLANCE_NANOS, operation);
  }

  private boolean ask(long nanos, String operation) {
    record.reset();
    int status = Ep4jNative.look(rank.buffer, nanos, record.address());
    if (status == Abi.PENDING) {
      return false;
    }
    rank.require(status, operation);
    return true;
  }

  long epoch() {
    return record.getLong(Standing.EPOCH);
  }

  long dispatches() {
    return record.getLong(Standing.DISPATCHES);
  }

  long lowLatencyDispatches() {
    return record.getLong(Standing.LOW_LATENCY_DISPATCHES);
  }

  /** A rank that has masked this one and is not masked here, or −1. */
  int maskedBy() {
    long bits = record.getLong(Standing.MASKED_BY);
    return bits == 0 ? -1 : Long.numberOfTrailingZeros(bits);
  }

  /** Whether a peer takes no part since somebody masked it. */
  boolean hasLeftMasked(int peer) {
    return (record.getLong(Standing.LEFT) >>> peer & 1) != 0;
  }

  long maskTag(int peer) {
    return record.at(Standing.MASK_TAGS, peer);
  }

  long failureTag(int peer) {
    return record.at(Standing.FAILURE_TAGS, peer);
  }

  /** Bit p: masked rank p may still write to a region. */
  long lateWriters(int region) {
    return record.at(Standing.LATE, region);
  }

  /** Regions that are free but for late writers. */
  int quarantinedRegions() {
    return record.getInt(Standing.QUARANTINED);
  }

  /** What has travelled in normal mode, per peer. */
  List<Statistics.Peer> traffic() {
    return peers(
        Standing.ROWS_SENT,
        Standing.BYTES_SENT,
        Standing.ROWS_RECEIVED,
        Standing.ROWS_COMBINED,
        Standing.WAIT_NANOS);
  }

  /** What has travelled in low-latency mode, per peer. */
  List<Statistics.Peer> lowLatencyTraffic() {
    return peers(
        Standing.LOW_LATENCY_ROWS_SENT,
        Standing.LOW_LATENCY_BYTES_SENT,
        Standing.LOW_LATENCY_ROWS_RECEIVED,
        Standing.LOW_LATENCY_ROWS_COMBINED,
        Standing.LOW_LATENCY_WAIT_NANOS);
  }

  private List<Statistics.Peer> peers(
      int rowsSent, int bytesSent, int rowsReceived, int rowsCombined, int waitNanos) {
    List<Statistics.Peer> peers = new ArrayList<>();
    for (int peer = 0; peer < rank.numRanks; peer++) {
      peers.add(
          new Statistics.Peer(
              record.at(rowsSent, peer),
              record.at(bytesSent, peer),
              record.at(rowsReceived, peer),
              record.at(rowsCombined, peer),
              record.at(waitNanos, peer)));
    }
    return peers;
  }

  /**
   * What went over the network, per node; asks for it.
   *
   * @param operation that wants to know
   */
  List<Statistics.Node> network(String operation) {
    int numNodes = Topology.of(rank.options, rank.numRanks).numNodes();
    List<Statistics.Node> nodes = new ArrayList<>();
    try (NetworkTraffic traffic = new NetworkTraffic()) {
      int status = InternodeNative.networkTraffic(rank.buffer, PATIENCE_NANOS, traffic.address());
      if (status == Abi.PENDING) {
        throw unanswered(operation);
      }
      rank.require(status, operation);
      for (int node = 0; node < numNodes; node++) {
        nodes.add(
            new Statistics.Node(
                traffic.at(NetworkTraffic.ROWS_SENT, node),
                traffic.at(NetworkTraffic.BYTES_SENT, node),
                traffic.at(NetworkTraffic.ROWS_COMBINED, node),
                traffic.at(NetworkTraffic.BYTES_COMBINED, node)));
      }
    }
    return nodes;
  }

  @Override
  public void close() {
    record.close();
  }
}
