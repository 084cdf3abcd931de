package io.github.deepep4j.normal;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.Ep4j;
import io.github.deepep4j.LowLatencyCombine;
import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.LowLatencyDispatch;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.LowLatencyShapes;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.group.TcpGroup;
import io.github.deepep4j.process.RankProcesses;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/**
 * What an administrator runs first on a node: every form of every mode against the oracle, one line
 * each. {@code --ranks N} (2) ranks as threads of this JVM, or with {@code --processes} as JVMs of
 * their own, on the device of {@code -Ddeepep4j.test.device}. With {@code --nodes 2x2,2x4} normal
 * mode across so many nodes of so many ranks each, all threads of this JVM. With {@code --processes
 * --transport nvshmem} the processes reach each other over NVSHMEM, and with {@code --remote} as
 * over a network, which normal mode refuses by name; with {@code --nodes} ranks of the own node are
 * within reach, and normal mode is what runs. Ends with status 1 if any line failed.
 */
public final class SelfTest {
  private static final int ROUNDS = 4;
  private static final int HIDDEN = 1024;
  private static final int MOST_TOKENS = 256;
  private static final int LOW_LATENCY_TOKENS = 32;

  private final int numRanks;
  private final int ranksPerNode;

  /** The others, if each rank is a process and this is one of them. */
  private final @Nullable ProcessGroup group;

  private int failures;

  private SelfTest(int numRanks, int ranksPerNode, @Nullable ProcessGroup group) {
    this.numRanks = numRanks;
    this.ranksPerNode = ranksPerNode;
    this.group = group;
  }

  /** One thing to try on one rank. */
  private interface Body {
    void run(RankEnd end) throws Exception;
  }

  /**
   * Runs all.
   *
   * @param args see above; {@code --member} is for the processes that this starts
   * @throws Exception if a process cannot be started
   */
  public static void main(String[] args) throws Exception {
    List<String> arguments = List.of(args);
    int at = arguments.indexOf("--ranks");
    int numRanks = at < 0 ? 2 : Integer.parseInt(arguments.get(at + 1));
    if (arguments.contains("--member")) {
      try (TcpGroup group = TcpGroup.environment().timeout(TestDevice.PATIENCE).build()) {
        int node = arguments.indexOf("--ranks-per-node");
        System.exit(
            node < 0
                ? new SelfTest(group.size(), group.size(), group).all()
                : new SelfTest(group.size(), Integer.parseInt(arguments.get(node + 1)), group)
                    .acrossNodes());
      }
    }
    int transport = arguments.indexOf("--transport");
    if (transport >= 0) {
      chooseTransport(arguments.get(transport + 1), arguments);
    }
    int nodes = arguments.indexOf("--nodes");
    if (nodes >= 0) {
      System.exit(acrossNodes(arguments.get(nodes + 1), arguments.contains("--processes")));
    }
    System.exit(
        arguments.contains("--processes")
            ? processes(numRanks, "--member")
            : new SelfTest(numRanks, numRanks, null).all());
  }

  /** For the processes that this starts, which inherit the property. */
  private static void chooseTransport(String name, List<String> arguments) {
    if (!name.equals("nvshmem") || !arguments.contains("--processes")) {
      System.out.println("--transport is nvshmem, and needs --processes: a PE is a process");
      System.exit(2);
    }
    System.setProperty(
        TestDevice.TRANSPORT_PROPERTY, arguments.contains("--remote") ? name + "-remote" : name);
  }

  /** Normal mode for each of the topologies, nodes x ranks of each. */
  private static int acrossNodes(String topologies, boolean areProcesses) throws Exception {
    int status = 0;
    for (String topology : topologies.split(",", -1)) {
      String[] parts = topology.split("x", -1);
      int ranksPerNode = Integer.parseInt(parts[1]);
      int numRanks = Integer.parseInt(parts[0]) * ranksPerNode;
      System.out.println(topology + " nodes x ranks");
      status =
          Math.max(
              status,
              areProcesses
                  ? processes(numRanks, "--member", "--ranks-per-node", parts[1])
                  : new SelfTest(numRanks, ranksPerNode, null).acrossNodes());
    }
    return status;
  }

  private static int processes(int numRanks, String... arguments) throws Exception {
    if (TestDevice.isCuda() && numRanks > TestDevice.numDevices() && !isShared()) {
      System.out.println(
          "Processes share a GPU and NVIDIA MPS is off: every exchange between ranks takes "
              + "milliseconds. For speed start it before: nvidia-cuda-mps-control -d");
    }
    List<Process> members = new ArrayList<>();
    for (ProcessBuilder builder : RankProcesses.builders(numRanks, SelfTest.class, arguments)) {
      members.add(builder.inheritIO().start());
    }
    int status = 0;
    for (Process member : members) {
      status = Math.max(status, member.waitFor());
    }
    return status;
  }

  private static boolean isShared() {
    return Ep4j.availability().stream()
        .flatMap(backend -> backend.detail().stream())
        .anyMatch(line -> line.contains("MPS is on"));
  }

  private void normal() {
    dispatches("dispatch, rank-major", Form.rankMajor());
    dispatches("dispatch, expert-major, zero-filled", Form.expertMajor(16).withZeroFill());
    dispatches("dispatch, bounded", Form.rankMajor().bounded(3));
    dispatches("dispatch, owned", Form.rankMajor().owned(Form.Owner.INTO));
    dispatches("dispatch, two halves", Form.rankMajor().withHook());
    for (Quantization cast : Quantization.values()) {
      cached("cached dispatch, FP8 cast " + cast, cast);
    }
    CombineRound.Form plain = CombineRound.Form.plain();
    combines("combine, rank-major, two biases", Form.rankMajor(), plain.withBiases(2));
    combines("combine, weights back", Form.rankMajor(), plain.withWeightsBack());
    combines("combine, weighted", Form.expertMajor(16), plain.withWeighting());
    combines("combine, in place, two halves", Form.rankMajor(), plain.inPlace().withHook());
  }

  private int acrossNodes() {
    normal();
    return end();
  }

  private int all() {
    if (TestDevice.isRemote()) {
      refused("dispatch is refused over a network");
    } else {
      normal();
    }
    lowLatency("low latency", null, LowLatencyForm.PLAIN);
    lowLatency("low latency, in place, two halves", null, LowLatencyForm.IN_PLACE_TWO_HALVES);
    for (Quantization cast : Quantization.values()) {
      lowLatency("low latency, FP8 cast " + cast, cast, LowLatencyForm.PLAIN);
    }
    lowLatency("low latency, LogFMT-10 back", null, LowLatencyForm.LOG_FMT);
    return end();
  }

  private int end() {
    print(failures == 0 ? "all as the oracle says" : failures + " FAILED");
    return failures == 0 ? 0 : 1;
  }

  /** One rank speaks for all, unless it is another that has something to report. */
  private void print(String line) {
    if (group == null || group.rank() == 0) {
      System.out.println(line);
    } else if (line.contains("FAILED")) {
      System.out.println("rank " + group.rank() + ": " + line);
    }
  }

  private List<Round> rounds(Form form) {
    SplittableRandom random = new SplittableRandom(numRanks);
    List<Round> rounds = new ArrayList<>();
    for (int i = 0; i < ROUNDS; i++) {
      Inputs.Shape shape =
          new Inputs.Shape(numRanks, 4 * numRanks, 4, HIDDEN, RoutingShape.UNIFORM);
      int[] tokens = new int[numRanks];
      for (int rank = 0; rank < numRanks; rank++) {
        tokens[rank] = random.nextInt(MOST_TOKENS - 8);
      }
      GlobalInput input = Inputs.draw(random, shape, tokens);
      rounds.add(new Round(input, form, Payload.bf16(input), ranksPerNode));
    }
    return rounds;
  }

  private void refused(String what) {
    Round round = rounds(Form.rankMajor()).get(0);
    line(
        what,
        end -> {
          try (HostTensors memory = new HostTensors();
              DispatchResult result = end.dispatch(round, memory)) {
            throw new AssertionError("not refused: " + result.numReceived() + " rows came");
          } catch (IllegalArgumentException e) {
            if (!String.valueOf(e.getMessage()).contains("reached by a network only")) {
              throw e;
            }
          }
        });
  }

  private void dispatches(String what, Form form) {
    List<Round> rounds = rounds(form);
    line(
        what,
        end -> {
          for (Round round : rounds) {
            end.dispatchAndCheck(round).close();
          }
        });
  }

  private void cached(String what, Quantization cast) {
    List<Round> rounds = rounds(Form.rankMajor());
    SplittableRandom random = new SplittableRandom(3);
    List<Payload> payloads = new ArrayList<>();
    for (Round round : rounds) {
      payloads.add(Payload.cast(round.input, HIDDEN, cast, random));
    }
    line(
        what,
        end -> {
          for (int i = 0; i < rounds.size(); i++) {
            try (HostTensors memory = new HostTensors();
                DispatchHandle handle = end.dispatchAndCheck(rounds.get(i));
                DispatchResult result =
                    end.dispatchCached(rounds.get(i), payloads.get(i), handle, memory)) {
              end.checkCached(rounds.get(i), payloads.get(i), result);
            }
          }
        });
  }

  private void combines(String what, Form dispatch, CombineRound.Form form) {
    SplittableRandom random = new SplittableRandom(5);
    List<Round> rounds = rounds(dispatch);
    List<CombineRound> combines =
        rounds.stream().map(round -> new CombineRound(round, form, HIDDEN, random)).toList();
    line(
        what,
        end -> {
          for (int i = 0; i < rounds.size(); i++) {
            try (DispatchHandle handle = end.dispatchAndCheck(rounds.get(i))) {
              end.combineAndCheck(combines.get(i), handle);
            }
          }
        });
  }

  /** How a low-latency round is called. */
  private enum LowLatencyForm {
    PLAIN,
    IN_PLACE_TWO_HALVES,
    LOG_FMT
  }

  private void lowLatency(String what, @Nullable Quantization cast, LowLatencyForm form) {
    Shape shape = new Shape(numRanks, 4 * numRanks, LOW_LATENCY_TOKENS, HIDDEN, 4);
    SplittableRandom random = new SplittableRandom(7);
    List<LowLatencyRound> rounds = new ArrayList<>();
    for (int i = 0; i < ROUNDS; i++) {
      rounds.add(LowLatencyRound.of(shape, LowLatencyRound.Routing.GAPS, random));
    }
    line(
        what,
        LowLatencyShapes.options(shape),
        end -> {
          for (LowLatencyRound round : rounds) {
            try (LowLatencyRank rank = new LowLatencyRank(end.buffer, end.rank, true)) {
              lowLatency(rank, round, cast, form);
            }
          }
        });
  }

  private static void lowLatency(
      LowLatencyRank rank,
      LowLatencyRound round,
      @Nullable Quantization cast,
      LowLatencyForm form) {
    boolean halves = form == LowLatencyForm.IN_PLACE_TWO_HALVES;
    boolean logFmt = form == LowLatencyForm.LOG_FMT;
    LowLatencyDispatchOptions send = LowLatencyDispatchOptions.defaults();
    send = cast == null ? send : send.quantize(cast);
    LowLatencyCombineOptions back = LowLatencyCombineOptions.defaults();
    back = logFmt ? back.logFmt() : back;
    try (LowLatencyDispatch rows = rank.dispatch(round, halves ? send.hook() : send)) {
      rank.checkDispatch(round, rows, cast);
      try (LowLatencyCombine sums =
          halves
              ? rank.combineInPlace(round, rows.handle(), back.hook())
              : rank.combine(round, rows.handle(), back)) {
        rank.checkCombine(round, sums, logFmt);
      }
    }
  }

  private void line(String what, Body body) {
    line(
        what,
        BufferOptions.of(4 * numRanks, HIDDEN, MOST_TOKENS)
            .expertMajor()
            .maxExpertAlignment(16)
            .ranksPerNode(ranksPerNode),
        body);
  }

  private void line(String what, BufferOptions options, Body body) {
    long started = System.nanoTime();
    String outcome;
    try {
      if (group == null) {
        RankEnd.run(numRanks, options, body::run);
      } else {
        RankEnd.run(group, options, body::run);
      }
      outcome = "ok";
    } catch (Exception | AssertionError e) {
      failures++;
      outcome = "FAILED: " + e.getMessage();
    }
    long millis = (System.nanoTime() - started) / 1_000_000;
    print(
        String.format(
            "%-45s %d %s, %d rounds, %4d ms: %s",
            what, numRanks, group == null ? "ranks" : "processes", ROUNDS, millis, outcome));
  }
}
