package io.github.deepep4j.process;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.LowLatencyCombine;
import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.LowLatencyDispatch;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.Statistics;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.group.TcpGroup;
import io.github.deepep4j.normal.MixedForms;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/**
 * One rank as a JVM: every form of every mode, on one buffer, every byte checked against the
 * oracle, then the counters against those of the peers.
 */
final class RoundTripRank {
  private static final int HIDDEN = 128;
  private static final int NORMAL_ROUNDS = 12;
  private static final int LOW_LATENCY_ROUNDS = 6;

  private static final List<Quantization> QUANTIZATIONS = List.of(Quantization.values());

  private RoundTripRank() {}

  /**
   * Joins the group and plays its part.
   *
   * @param args the seed
   */
  public static void main(String[] args) {
    long seed = Long.parseLong(args[0]);
    try (TcpGroup group = TcpGroup.environment().timeout(Duration.ofSeconds(60)).build()) {
      int numRanks = group.size();
      int numExperts = 4 * numRanks;
      SplittableRandom random = new SplittableRandom(seed);
      BufferOptions options =
          MixedForms.options(numExperts, HIDDEN).timeout(Duration.ofSeconds(60));
      options = options.lowLatency();
      MixedForms normal = new MixedForms(random, numRanks, options, NORMAL_ROUNDS);
      Shape shape =
          new Shape(
              numRanks, numExperts, options.maxTokensPerRank(), HIDDEN, Math.min(4, numExperts));
      try (Buffer buffer = TestDevice.build(group, options)) {
        require(group.localRank() == group.rank(), "LOCAL_RANK is " + group.localRank());
        normal.run(buffer, group.rank());
        lowLatency(buffer, group.rank(), shape, random);
        normal.run(buffer, group.rank());
        checkCounters(group, buffer.statistics());
        group.barrier();
      }
      System.out.println("CHECKED rank " + group.rank());
    }
  }

  private static void lowLatency(Buffer buffer, int self, Shape shape, SplittableRandom random) {
    for (int i = 0; i < LOW_LATENCY_ROUNDS; i++) {
      LowLatencyRound round =
          LowLatencyRound.of(
              shape,
              i % 2 == 0 ? LowLatencyRound.Routing.SPREAD : LowLatencyRound.Routing.GAPS,
              random);
      @Nullable Quantization quantization =
          i < 2 ? null : QUANTIZATIONS.get(i % QUANTIZATIONS.size());
      LowLatencyDispatchOptions options = LowLatencyDispatchOptions.defaults();
      options = quantization == null ? options : options.quantize(quantization);
      options = i % 3 == 0 ? options.hook() : options;
      var combining = LowLatencyCombineOptions.defaults();
      combining = i % 2 == 0 ? combining.hook() : combining;
      try (LowLatencyRank rank = new LowLatencyRank(buffer, self, true);
          LowLatencyDispatch rows = rank.dispatch(round, options)) {
        rows.receive();
        rank.checkDispatch(round, rows, quantization);
        try (LowLatencyCombine sums =
            i % 2 == 0
                ? rank.combine(round, rows.handle(), combining)
                : rank.combineInPlace(round, rows.handle(), combining)) {
          rank.checkCombine(round, sums, false);
        }
      }
    }
  }

  /** What a rank says it sent, its peer must say it received. */
  private static void checkCounters(ProcessGroup group, Statistics statistics) {
    int self = group.rank();
    require(statistics.openResults() == 0, statistics + " has open results");
    require(statistics.openHandles() == 0, statistics + " has open handles");
    require(statistics.quarantinedRegions() == 0, statistics + " has quarantined regions");
    require(statistics.abandonedBytes() == 0, statistics + " has abandoned memory");
    require(statistics.windowBytes() > 0, statistics + " has no window");
    for (List<Statistics.Peer> mode : List.of(statistics.normal(), statistics.lowLatency())) {
      long rows = 0;
      byte[][] sent = group.allGather(sent(mode));
      for (int from = 0; from < sent.length; from++) {
        long here = mode.get(from).rowsReceived();
        long there = ByteBuffer.wrap(sent[from]).getLong(8 * self);
        require(here == there, "rank " + from + " sent " + there + " rows, " + here + " came");
        rows += here;
      }
      require(rows > 0, "no rows were counted: " + mode);
      require(mode.stream().allMatch(peer -> peer.waitNanos() >= 0), "a negative time: " + mode);
    }
  }

  /** Rows sent, per peer. */
  private static byte[] sent(List<Statistics.Peer> mode) {
    ByteBuffer message = ByteBuffer.allocate(8 * mode.size());
    mode.forEach(peer -> message.putLong(peer.rowsSent()));
    return message.array();
  }

  static void require(boolean holds, String otherwise) {
    if (!holds) {
      throw new AssertionError(otherwise);
    }
  }
}
