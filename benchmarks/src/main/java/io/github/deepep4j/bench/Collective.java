package io.github.deepep4j.bench;

import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.group.ProcessGroup;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** What all benchmarks share: sizes, ranks, the yardstick, and the check at the end. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Fork(1)
public abstract class Collective {
  /** So many that every region has been used once. */
  private static final int FIRST_CALLS = 4;

  /** {@code cpu} or {@code cuda}. */
  @Param("cpu")
  public String backend = "";

  /** Ranks, each a thread. */
  @Param("2")
  public int ranks;

  /** Tokens of each rank. */
  @Param("512")
  public int tokens;

  /** Elements of a row. */
  @Param("7168")
  public int hidden;

  /** Experts of a token. */
  @Param("8")
  public int topk;

  /** Experts over all ranks. */
  @Param("64")
  public int experts;

  /** {@code bf16}, {@code fp8} or {@code fp8cast}. */
  @Param("bf16")
  public String dtype = "";

  /**
   * {@code vector} or {@code scalar}: which arithmetic the JVM's flags give. A label that is
   * checked, not a switch.
   */
  @Param("vector")
  public String arithmetic = "";

  /** GPUs that the ranks are spread over; not used on the CPU. */
  @Param("1")
  public int devices;

  /** Multiprocessors of each rank; 0 for the library's choice, and on the CPU. */
  @Param("0")
  public int sms;

  /** Ranks of one node, several nodes being parts of this machine; 0: all ranks are one node. */
  @Param("0")
  public int ranksPerNode;

  private RankTeam team;
  private RankWork[] works;
  private Yardstick yardstick;
  private RankTeam.Action call;
  private Traffic traffic;
  private long heapBefore;

  /** The rank's part; collective. */
  abstract RankWork work(Workload load, Routing routing, ProcessGroup group);

  /** Bytes of one operation. */
  abstract Traffic traffic(Workload load, Routing routing);

  /** Whether issuing the operation waits for other ranks. */
  abstract boolean waitsOnHost();

  /** Makes the ranks, their buffers and inputs, and calls once in each region. */
  @Setup(Level.Trial)
  public void start() {
    checkArithmetic();
    Workload load =
        new Workload(
            new Workload.Place(
                Choice.of("backend", backend, "cpu", "cuda"), devices, sms, ranksPerNode),
            ranks,
            tokens,
            hidden,
            topk,
            experts,
            Workload.Wire.of(dtype));
    Routing routing = new Routing(load);
    traffic = traffic(load, routing);
    List<LocalGroup> ends = LocalGroup.create(ranks);
    works = new RankWork[ranks];
    team = new RankTeam(ranks);
    team.run(rank -> works[rank] = work(load, routing, ends.get(rank)));
    yardstick =
        load.place().cuda()
            ? new GpuYardstick(team, works, traffic, waitsOnHost())
            : new CpuYardstick(team, traffic);
    team.run(rank -> works[rank].open());
    call = rank -> works[rank].call();
    for (int i = 0; i < FIRST_CALLS; i++) {
      team.run(call);
    }
  }

  private void checkArithmetic() {
    boolean there = ModuleLayer.boot().findModule("jdk.incubator.vector").isPresent();
    if (there != arithmetic.equals("vector")) {
      throw new IllegalStateException(
          "arithmetic="
              + arithmetic
              + ", but jdk.incubator.vector is "
              + (there ? "" : "not ")
              + "there");
    }
  }

  /** Measures the yardstick just before the operation. */
  @Setup(Level.Iteration)
  public void yardstickFirst() {
    Meter.CURRENT.start(traffic, ranks);
    yardstick.measure(Meter.CURRENT);
    heapBefore = heapBytes();
  }

  /** Ends the iteration's measurement. */
  @TearDown(Level.Iteration)
  public void countHeap() {
    Meter.CURRENT.heapBytes = heapBytes() - heapBefore;
  }

  /** What came before the calls does not count. */
  private long slowest() {
    return Arrays.stream(works).mapToLong(RankWork::hostNanos).max().orElseThrow();
  }

  private long heapBytes() {
    return Arrays.stream(works).mapToLong(RankWork::heapBytes).sum();
  }

  /** One collective operation of all ranks. */
  final long round() {
    long nanos = team.run(call);
    Meter.CURRENT.operations.add(works[0].buffer.device().isCpu() ? nanos : slowest());
    Meter.CURRENT.calls.add(works[0].issueNanos());
    return nanos;
  }

  /** Checks a result on changed inputs, every byte, and ends the ranks. */
  @TearDown(Level.Trial)
  public void verifyAndStop() {
    try {
      team.run(rank -> works[rank].change());
      team.run(rank -> works[rank].prepare());
      team.run(
          rank -> {
            works[rank].issue();
            works[rank].await();
          });
      team.run(rank -> works[rank].compare());
      team.run(rank -> works[rank].release());
      yardstick.close();
      team.run(rank -> works[rank].close());
    } finally {
      team.close();
    }
  }
}
