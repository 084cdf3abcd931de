package io.github.deepep4j.bench;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.Event;
import io.github.deepep4j.NvshmemOptions;
import io.github.deepep4j.Transport;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.group.TcpGroup;
import java.io.IOException;
import java.net.ServerSocket;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Low-latency pairs (FP8 dispatch and zero-copy combine) whose ranks are JVMs on one device, which
 * JMH can't measure: over CUDA IPC or over NVSHMEM. The time is the host's, from a barrier until
 * the last of a batch of pairs is complete, over the batch, of the slowest rank: launches are in
 * it, and what ranks begin apart. Every rank checks its results on inputs of their own afterwards.
 */
public final class ProcessPairs {
  private static final int HIDDEN = 7168;
  private static final int TOPK = 8;
  private static final int BATCH = 20;
  private static final int WARM_UPS = 30;
  private static final int SAMPLES = 100;
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private static final String USAGE =
      "--ranks N --transport peer|nvshmem|nvshmem-remote [--out FILE] [--commit HASH]";

  /**
   * What is measured.
   *
   * @param tokens of each rank
   * @param experts over all ranks
   * @param ranks for which it is
   */
  private record Shape(int tokens, int experts, int ranks) {}

  private static final List<Shape> SHAPES =
      List.of(
          new Shape(64, 64, 2),
          new Shape(64, 32, 2),
          new Shape(16, 64, 2),
          new Shape(128, 64, 2),
          new Shape(32, 32, 4));

  private ProcessPairs() {}

  /**
   * Starts the ranks, or is one.
   *
   * @param arguments the options
   * @throws Exception if a rank can't be started or fails
   */
  public static void main(String[] arguments) throws Exception {
    Map<String, String> options = options(arguments);
    String transport = options.getOrDefault("--transport", "peer");
    if (!List.of("peer", "nvshmem", "nvshmem-remote").contains(transport)) {
      throw new IllegalArgumentException(USAGE + ", not --transport " + transport);
    }
    if (options.containsKey("--member")) {
      try (TcpGroup group = TcpGroup.environment().timeout(PATIENCE).build()) {
        member(group, transport, options);
      }
      return;
    }
    int ranks = Integer.parseInt(options.getOrDefault("--ranks", "2"));
    System.exit(launch(ranks, List.of(arguments)));
  }

  private static Map<String, String> options(String[] arguments) {
    Map<String, String> options = new java.util.HashMap<>();
    for (int i = 0; i < arguments.length; i += 2) {
      if (i + 1 == arguments.length || !arguments[i].startsWith("--")) {
        throw new IllegalArgumentException(USAGE + ", not " + Arrays.toString(arguments));
      }
      options.put(arguments[i], arguments[i + 1]);
    }
    return options;
  }

  private static int launch(int ranks, List<String> arguments)
      throws IOException, InterruptedException {
    int port;
    try (ServerSocket free = new ServerSocket(0)) {
      port = free.getLocalPort();
    }
    List<Process> members = new ArrayList<>();
    for (int rank = 0; rank < ranks; rank++) {
      List<String> command = new ArrayList<>();
      command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
      command.add("--enable-native-access=ALL-UNNAMED");
      for (Object name : System.getProperties().keySet()) {
        if (name.toString().startsWith("deepep4j.")) {
          command.add("-D" + name + "=" + System.getProperty(name.toString()));
        }
      }
      command.addAll(
          List.of("-cp", System.getProperty("java.class.path"), ProcessPairs.class.getName()));
      command.addAll(arguments);
      command.addAll(List.of("--member", "" + rank));
      ProcessBuilder builder = new ProcessBuilder(command).inheritIO();
      builder
          .environment()
          .putAll(
              Map.of(
                  "RANK", "" + rank,
                  "LOCAL_RANK", "" + rank,
                  "WORLD_SIZE", "" + ranks,
                  "MASTER_ADDR", "127.0.0.1",
                  "MASTER_PORT", "" + port));
      members.add(builder.start());
    }
    int status = 0;
    for (Process process : members) {
      status = Math.max(status, process.waitFor());
    }
    return status;
  }

  private static void member(ProcessGroup group, String transport, Map<String, String> options)
      throws IOException {
    List<String> lines = new ArrayList<>();
    for (Shape shape : SHAPES) {
      if (shape.ranks() == group.size()) {
        double[] micros = measure(group, shape, transport);
        String line = line(shape, transport, micros);
        lines.add("    " + line);
        if (group.rank() == 0) {
          System.out.println(line);
        }
      }
    }
    String out = options.get("--out");
    if (group.rank() == 0 && out != null) {
      Files.writeString(Path.of(out), json(lines, options.getOrDefault("--commit", "unknown")));
    }
  }

  private static BufferOptions over(String transport, BufferOptions options) {
    if (transport.equals("peer")) {
      return options.transport(Transport.PEER);
    }
    NvshmemOptions nvshmem = NvshmemOptions.defaults();
    return options
        .transport(Transport.NVSHMEM)
        .nvshmem(transport.equals("nvshmem") ? nvshmem : nvshmem.forceRemote());
  }

  /** Microseconds of a pair, of the slowest rank, sorted. */
  private static double[] measure(ProcessGroup group, Shape shape, String transport) {
    Workload load =
        new Workload(
            new Workload.Place(true, 1, 0, 0),
            shape.ranks(),
            shape.tokens(),
            HIDDEN,
            TOPK,
            shape.experts(),
            Workload.Wire.FP8_CAST);
    double[] micros = new double[SAMPLES];
    BufferOptions options = over(transport, RankWork.options(load).lowLatencyOnly());
    try (LowLatencyRank rank =
        new LowLatencyRank(
            load, new Routing(load), group, LowLatencyRank.Operation.PAIR, options)) {
      rank.call();
      for (int i = -WARM_UPS; i < SAMPLES; i++) {
        double slowest = slowest(group, batch(group, rank));
        if (i >= 0) {
          micros[i] = slowest;
        }
      }
      rank.change();
      group.barrier();
      rank.issue();
      rank.compare();
      rank.finish();
      group.barrier();
    }
    Arrays.sort(micros);
    return micros;
  }

  private static double batch(ProcessGroup group, LowLatencyRank rank) {
    group.barrier();
    long begin = System.nanoTime();
    Event last = null;
    for (int i = 0; i < BATCH; i++) {
      rank.issue();
      last = rank.event();
      rank.release();
    }
    java.util.Objects.requireNonNull(last, "a batch has pairs").synchronize();
    return (System.nanoTime() - begin) / 1e3 / BATCH;
  }

  private static double slowest(ProcessGroup group, double own) {
    double slowest = 0;
    for (byte[] bytes : group.allGather(ByteBuffer.allocate(Double.BYTES).putDouble(own).array())) {
      slowest = Math.max(slowest, ByteBuffer.wrap(bytes).getDouble());
    }
    return slowest;
  }

  private static String line(Shape shape, String transport, double[] micros) {
    return String.format(
        Locale.ROOT,
        "{\"name\": \"pair FP8, JVMs over %s\", \"tokens\": %d, \"experts\": %d, \"ranks\": %d,"
            + " \"medianMicros\": %.2f, \"p99Micros\": %.2f, \"leastMicros\": %.2f}",
        transport,
        shape.tokens(),
        shape.experts(),
        shape.ranks(),
        micros[SAMPLES / 2],
        micros[SAMPLES * 99 / 100],
        micros[0]);
  }

  private static String json(List<String> lines, String commit) {
    return String.format(
        Locale.ROOT,
        """
        {
          "benchmark": "low latency from Java, ranks are JVMs on one device",
          "commit": "%s",
          "device": "%s",
          "hidden": %d,
          "topk": %d,
          "operationsPerSample": %d,
          "samples": %d,
          "time": "of the host, from a barrier until a batch is complete, over the batch, slowest rank",
          "results": [
        %s
          ]
        }
        """,
        commit,
        Machine.shortGpuName(),
        HIDDEN,
        TOPK,
        BATCH,
        SAMPLES,
        String.join(",\n", lines));
  }
}
