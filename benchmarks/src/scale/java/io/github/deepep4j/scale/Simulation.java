package io.github.deepep4j.scale;

import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.PriorityQueue;

/**
 * One operation, event by event. Each network chunk has a sender and a receiver of the same local
 * rank in different nodes: in a dispatch the tokens' rank sends to the rank that hands on (the
 * relay), in a combine the relay sends to the tokens' rank.
 *
 * <pre>
 *   prepare  once there is a credit for the receiver    dispatch: copy to memory that the card reads
 *                                                       combine: sum over the ranks of the node
 *   SEND     the sender's card, one chunk after the other
 *   RECEIVE  the receiver's card, from the first byte on, into staging memory
 *   FINISH   the chunk is there                         dispatch: fan-out to the ranks of the node
 *                                                       combine: final sum
 *   RELEASE  its staging memory is free
 *   CREDIT   the sender knows, one network latency later
 * </pre>
 *
 * <p>Rows of the own node (LOCAL) are fanned out, or summed, straight from where they are.
 */
final class Simulation {
  /** Chunks of the own node that are under way at once, so that the links are not idle between. */
  private static final int LOCAL_CHUNKS = 2;

  private final Machine machine;
  private final Workload workload;
  private final boolean dispatch;
  private final SimulatedRank[] ranks;
  private final PriorityQueue<Event> events = new PriorityQueue<>();
  private long order;

  /** When rows were last done; events come in the order of time. */
  private double end;

  private Simulation(Machine machine, Workload workload) {
    this.machine = machine;
    this.workload = workload;
    this.dispatch = workload.operation() == Workload.Operation.DISPATCH;
    this.ranks = new SimulatedRank[workload.numNodes() * machine.ranksPerNode()];
    for (int rank = 0; rank < ranks.length; rank++) {
      ranks[rank] = new SimulatedRank(machine, workload, nodeOf(rank));
    }
  }

  /**
   * Simulates.
   *
   * @param machine rates
   * @param workload what is moved
   * @return what it came to; the same for the same arguments
   */
  static Outcome run(Machine machine, Workload workload) {
    return new Simulation(machine, workload).run();
  }

  private Outcome run() {
    Routing routing = new Routing(workload, machine.ranksPerNode());
    double pairs = 0;
    double rows = 0;
    List<List<Deque<Chunk>>> byTokenRank = new ArrayList<>();
    for (int rank = 0; rank < ranks.length; rank++) {
      byTokenRank.add(routing.chunks(rank));
      for (Deque<Chunk> queue : byTokenRank.get(rank)) {
        for (Chunk chunk : queue) {
          pairs += chunk.rows();
          rows += chunk.fanOut();
        }
      }
    }
    enqueue(byTokenRank);
    while (!events.isEmpty()) {
      handle(events.remove());
    }
    return outcome(pairs / ranks.length, rows / ranks.length);
  }

  private void enqueue(List<List<Deque<Chunk>>> byTokenRank) {
    for (int rank = 0; rank < ranks.length; rank++) {
      for (int node = 0; node < workload.numNodes(); node++) {
        // A combine's sender answers the tokens of its own local rank in the other node.
        ranks[rank].outgoing.add(
            dispatch
                ? byTokenRank.get(rank).get(node)
                : byTokenRank.get(peerIn(node, rank)).get(nodeOf(rank)));
      }
      for (int i = 0; i < LOCAL_CHUNKS; i++) {
        schedule(0, Event.Kind.LOCAL, rank, Chunk.NONE);
      }
    }
    for (int rank = 0; rank < ranks.length; rank++) {
      prepare(rank, 0);
    }
  }

  private void handle(Event event) {
    double now = event.time();
    int number = event.rank();
    SimulatedRank rank = ranks[number];
    Chunk chunk = event.chunk();
    double bytes = bytesOf(chunk);
    switch (event.kind()) {
      case SEND -> {
        double begin = rank.nicOut.begin(now);
        rank.nicOut.reserve(now, bytes);
        schedule(begin, Event.Kind.ROOM, number, Chunk.NONE);
        schedule(
            begin + machine.nicLatencyNs(), Event.Kind.RECEIVE, receiverOf(number, chunk), chunk);
      }
      case ROOM -> {
        rank.hasRoom();
        prepare(number, now);
      }
      case RECEIVE -> {
        rank.stage(bytes);
        schedule(rank.nicIn.reserve(now, bytes), Event.Kind.FINISH, number, chunk);
      }
      case FINISH -> {
        double done = dispatch ? spread(number, chunk, now) : rank.sm.reserve(now, bytes);
        schedule(done, Event.Kind.RELEASE, number, chunk);
      }
      case RELEASE -> {
        end = now;
        rank.unstage(bytes);
        schedule(now + machine.nicLatencyNs(), Event.Kind.CREDIT, senderTo(number, chunk), chunk);
      }
      case CREDIT -> {
        rank.credit(nodeOf(receiverOf(number, chunk)));
        prepare(number, now);
      }
      case LOCAL -> nextLocal(number, now);
    }
  }

  private void prepare(int number, double now) {
    SimulatedRank rank = ranks[number];
    for (Chunk chunk = rank.nextToPrepare(); !chunk.isNone(); chunk = rank.nextToPrepare()) {
      double done = dispatch ? rank.sm.reserve(now, bytesOf(chunk)) : spread(number, chunk, now);
      schedule(done, Event.Kind.SEND, number, chunk);
    }
  }

  private void nextLocal(int rank, double now) {
    end = now;
    Chunk chunk = ranks[rank].outgoing.get(nodeOf(rank)).poll();
    if (chunk != null) {
      schedule(spread(rank, chunk, now), Event.Kind.LOCAL, rank, Chunk.NONE);
    }
  }

  /** Rows between a rank and its node's: out of it in a dispatch, into it in a combine. */
  private double spread(int relay, Chunk chunk, double now) {
    int first = nodeOf(relay) * machine.ranksPerNode();
    double done = ranks[relay].sm.reserve(now, (double) chunk.fanOut() * workload.rowBytes());
    for (int local = 0; local < machine.ranksPerNode(); local++) {
      int peer = first + local;
      double bytes = (double) chunk.rowsOfLocalRank()[local] * workload.rowBytes();
      if (peer != relay && bytes > 0) {
        SimulatedRank from = ranks[dispatch ? relay : peer];
        SimulatedRank to = ranks[dispatch ? peer : relay];
        done = Math.max(done, from.linkOut.reserve(now, bytes));
        done = Math.max(done, to.linkIn.reserve(now, bytes) + machine.nvlinkLatencyNs());
      }
    }
    return done;
  }

  private void schedule(double time, Event.Kind kind, int rank, Chunk chunk) {
    events.add(new Event(time, order++, kind, rank, chunk));
  }

  private double bytesOf(Chunk chunk) {
    return (double) chunk.rows() * workload.rowBytes();
  }

  private int nodeOf(int rank) {
    return rank / machine.ranksPerNode();
  }

  /** The rank of another node with the same local rank. */
  private int peerIn(int node, int rank) {
    return node * machine.ranksPerNode() + rank % machine.ranksPerNode();
  }

  private int receiverOf(int sender, Chunk chunk) {
    return dispatch ? peerIn(chunk.node(), sender) : chunk.tokenRank();
  }

  private int senderTo(int receiver, Chunk chunk) {
    return dispatch ? chunk.tokenRank() : peerIn(chunk.node(), receiver);
  }

  private Outcome outcome(double pairs, double rows) {
    double nicBytes = 0;
    double linkBytes = 0;
    double nic = 0;
    double link = 0;
    double sm = 0;
    double staging = 0;
    for (SimulatedRank rank : ranks) {
      nicBytes += rank.nicOut.bytes();
      linkBytes += rank.linkOut.bytes();
      nic = Math.max(nic, Math.max(rank.nicOut.busyNs(), rank.nicIn.busyNs()));
      link = Math.max(link, Math.max(rank.linkOut.busyNs(), rank.linkIn.busyNs()));
      sm = Math.max(sm, rank.sm.busyNs());
      staging = Math.max(staging, rank.peakStagingBytes());
    }
    return new Outcome(
        end,
        pairs * workload.rowBytes(),
        nicBytes / ranks.length,
        rows * workload.rowBytes(),
        linkBytes / ranks.length,
        nic / end,
        link / end,
        sm / end,
        staging);
  }
}
