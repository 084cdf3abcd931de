package io.github.deepep4j.bench;

import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.group.ProcessGroup;
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
  /** Part of an iteration's length that the plain copy gets on top. */
  private static final long COPY_NANOS = TimeUnit.MILLISECONDS.toNanos(120);

  private static final int MIN_COPIES = 5;

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

  private RankTeam team;
  private RankWork[] works;
  private PlainCopy[] copies;
  private RankTeam.Action call;
  private RankTeam.Action copy;
  private Traffic traffic;
  private long heapBefore;

  /** The rank's part; collective. */
  abstract RankWork work(Workload load, Routing routing, ProcessGroup group);

  /** Bytes of one operation. */
  abstract Traffic traffic(Workload load, Routing routing);

  /** Makes the ranks, their buffers and inputs. */
  @Setup(Level.Trial)
  public void start() {
    checkArithmetic();
    Workload load =
        new Workload(backend, ranks, tokens, hidden, topk, experts, Workload.Wire.of(dtype));
    Routing routing = new Routing(load);
    traffic = traffic(load, routing);
    List<LocalGroup> ends = LocalGroup.create(ranks);
    works = new RankWork[ranks];
    copies = new PlainCopy[ranks];
    team = new RankTeam(ranks);
    team.run(
        rank -> {
          works[rank] = work(load, routing, ends.get(rank));
          copies[rank] = new PlainCopy((long) traffic.moved());
        });
    call = rank -> works[rank].call();
    copy = rank -> copies[rank].run();
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

  /** Measures the plain copy just before the operation. */
  @Setup(Level.Iteration)
  public void copyFirst() {
    Meter.CURRENT.start(traffic);
    long end = System.nanoTime() + COPY_NANOS;
    for (int i = 0; i < MIN_COPIES || System.nanoTime() < end; i++) {
      Meter.CURRENT.copies.add(team.run(copy));
    }
    heapBefore = team.allocatedBytes();
  }

  /** Ends the iteration's measurement. */
  @TearDown(Level.Iteration)
  public void countHeap() {
    Meter.CURRENT.heapBytes = team.allocatedBytes() - heapBefore;
  }

  /** One collective operation of all ranks. */
  final long round() {
    long nanos = team.run(call);
    Meter.CURRENT.operations.add(nanos);
    return nanos;
  }

  /** Checks a result and ends the ranks. */
  @TearDown(Level.Trial)
  public void verifyAndStop() {
    try {
      team.run(rank -> works[rank].verify());
      team.run(rank -> works[rank].close());
    } finally {
      team.close();
    }
  }
}
