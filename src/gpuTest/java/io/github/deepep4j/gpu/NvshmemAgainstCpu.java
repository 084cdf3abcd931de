package io.github.deepep4j.gpu;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.group.TcpGroup;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import io.github.deepep4j.tensor.Device;
import java.time.Duration;
import java.util.List;
import java.util.SplittableRandom;

/**
 * One rank as a JVM and a PE of NVSHMEM: seeded calls on the GPU give the bits that the CPU backend
 * gives in this process, where all ranks are threads. Low latency, and normal mode if all ranks, or
 * those of a node, are within reach.
 */
public final class NvshmemAgainstCpu {
  private static final int[] HIDDEN = {8, 136, 1152, 7168};
  private static final int ROUNDS = 6;
  private static final int MOST_TOKENS = 40;

  private NvshmemAgainstCpu() {}

  /**
   * Joins the group and plays its part.
   *
   * @param args ranks of each node; without it all are one node
   */
  public static void main(String[] args) {
    int ranksPerNode = args.length == 0 ? 0 : Integer.parseInt(args[0]);
    try (TcpGroup group = TcpGroup.environment().timeout(Duration.ofSeconds(60)).build()) {
      int calls = 0;
      for (int hidden : HIDDEN) {
        calls += lowLatency(group, hidden, ranksPerNode);
        if (!TestDevice.isRemote() || ranksPerNode > 0) {
          calls += normal(group, hidden, ranksPerNode);
        }
      }
      System.out.println("SAME BITS in " + calls + " rounds");
    }
  }

  /** What a rank does in one round. */
  private interface Part {
    void run(Buffer buffer, int rank, int index, Capture capture);
  }

  private static int lowLatency(ProcessGroup group, int hidden, int ranksPerNode) {
    int numRanks = group.size();
    long seed = 13_000L * numRanks + hidden;
    SplittableRandom random = new SplittableRandom(seed);
    List<LowLatencyRound> rounds = LowLatencyAgainstCpuTest.draw(random, numRanks, hidden, ROUNDS);
    Shape shape = rounds.get(0).shape();
    BufferOptions options =
        BufferOptions.of(shape.numExperts(), hidden, shape.maxTokens()).maxTopk(shape.numTopk());
    return compare(
        group,
        ranksPerNode == 0
            ? options.lowLatencyOnly()
            : options.lowLatency().ranksPerNode(ranksPerNode),
        "low latency, ep.seed=" + seed,
        (buffer, self, index, capture) -> {
          try (LowLatencyRank rank = new LowLatencyRank(buffer, self, index % 2 == 0)) {
            LowLatencyAgainstCpuTest.round(
                "round " + index + " ", rank, rounds.get(index), index, capture);
          }
        });
  }

  private static int normal(ProcessGroup group, int hidden, int ranksPerNode) {
    int numRanks = group.size();
    long seed = 9_000L * numRanks + hidden;
    SplittableRandom random = new SplittableRandom(seed);
    int numExperts = numRanks * (1 + random.nextInt(5));
    List<GlobalInput> inputs =
        CudaAgainstCpuTest.draw(random, numRanks, numExperts, hidden, ROUNDS, MOST_TOKENS);
    BufferOptions options =
        BufferOptions.of(numExperts, hidden, MOST_TOKENS)
            .maxTopk(BufferOptions.MAX_TOPK)
            .expertMajor();
    return compare(
        group,
        ranksPerNode == 0 ? options : options.ranksPerNode(ranksPerNode),
        "normal, ep.seed=" + seed,
        (buffer, self, index, capture) ->
            CudaAgainstCpuTest.round(
                "round " + index + " ", buffer, inputs.get(index), self, index, capture));
  }

  private static int compare(ProcessGroup group, BufferOptions options, String what, Part part) {
    Capture cpu = new Capture();
    LocalGroup.run(
        group.size(),
        threads ->
            run(
                threads,
                options,
                Device.cpu(),
                threads.rank() == group.rank() ? cpu : new Capture(),
                part));
    Capture gpu = new Capture();
    run(group, options, TestDevice.gpu(group.rank()), gpu, part);
    cpu.requireSame(what + ", rank " + group.rank() + " of " + group.size(), gpu);
    return ROUNDS;
  }

  private static void run(
      ProcessGroup group, BufferOptions options, Device device, Capture capture, Part part) {
    BufferOptions patient = options.timeout(TestDevice.PATIENCE);
    try (Buffer buffer = TestDevice.build(group, patient, device)) {
      for (int i = 0; i < ROUNDS; i++) {
        part.run(buffer, group.rank(), i, capture);
      }
    }
  }
}
