package io.github.deepep4j;

import java.time.Duration;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * What a buffer is made for. Sizes, modes, nodes and region counts must be the same on all ranks
 * and are compared when the buffer is created; the receive capacity, the arena, the deadline and
 * the tuning may differ. Immutable: each setter returns a changed copy.
 *
 * <pre>{@code
 * var training = BufferOptions.of(64, 7168, 4096).maxTopk(8).expertMajor();
 * var decoding = BufferOptions.of(64, 7168, 128).maxTopk(8).lowLatency();
 * System.out.println(SizeHint.of(training, 8));   // before anything is allocated
 * }</pre>
 */
public final class BufferOptions {
  /** Largest number of experts per token that any call may name. */
  public static final int MAX_TOPK = 32;

  private final int numExperts;
  private final int hidden;
  private final int maxTokensPerRank;
  private int maxTopk = 8;
  private int ranksPerNode;
  private int stagingRows;
  private boolean normal = true;
  private boolean expertMajor;
  private boolean lowLatency;
  private int receiveCapacityRows;
  private int maxScalesPerRow;
  private int maxExpertAlignment = 128;
  private int normalRegions = 2;
  private int lowLatencyRegions = 2;
  private long arenaBytes;
  private int maxOpenHandles = 256;
  private Duration timeout = Duration.ofSeconds(30);
  private TimeoutPolicy onTimeout = TimeoutPolicy.THROW;
  private TuningConfig tuning = TuningConfig.defaults();
  private @Nullable MeasuredTuning measuredTuning;
  private Transport transport = Transport.AUTOMATIC;
  private NvshmemOptions nvshmem = NvshmemOptions.defaults();

  private BufferOptions(int numExperts, int hidden, int maxTokensPerRank) {
    this.numExperts = numExperts;
    this.hidden = hidden;
    this.maxTokensPerRank = maxTokensPerRank;
  }

  private BufferOptions(BufferOptions from) {
    this(from.numExperts, from.hidden, from.maxTokensPerRank);
    maxTopk = from.maxTopk;
    ranksPerNode = from.ranksPerNode;
    stagingRows = from.stagingRows;
    normal = from.normal;
    expertMajor = from.expertMajor;
    lowLatency = from.lowLatency;
    receiveCapacityRows = from.receiveCapacityRows;
    maxScalesPerRow = from.maxScalesPerRow;
    maxExpertAlignment = from.maxExpertAlignment;
    normalRegions = from.normalRegions;
    lowLatencyRegions = from.lowLatencyRegions;
    arenaBytes = from.arenaBytes;
    maxOpenHandles = from.maxOpenHandles;
    timeout = from.timeout;
    onTimeout = from.onTimeout;
    tuning = from.tuning;
    measuredTuning = from.measuredTuning;
    transport = from.transport;
    nvshmem = from.nvshmem;
  }

  /**
   * Options for normal mode in rank-major order.
   *
   * @param numExperts experts over all ranks, ≥ 1; must be a multiple of the number of ranks
   * @param hidden largest row width in BF16 elements, ≥ 8 and a multiple of 8 (16 bytes)
   * @param maxTokensPerRank most tokens that one rank sends in one call, ≥ 1
   * @return the options
   * @throws IllegalArgumentException naming the rule and the value
   */
  public static BufferOptions of(int numExperts, int hidden, int maxTokensPerRank) {
    requireAtLeast(numExperts, 1, "numExperts");
    requireAtLeast(hidden, 8, "hidden");
    requireAtLeast(maxTokensPerRank, 1, "maxTokensPerRank");
    if (hidden % 8 != 0) {
      throw new IllegalArgumentException(
          "a BF16 row must be a multiple of 16 bytes: hidden " + hidden + " is " + 2L * hidden);
    }
    return new BufferOptions(numExperts, hidden, maxTokensPerRank);
  }

  /**
   * Most experts that a token may choose.
   *
   * @param value from 1 to {@value #MAX_TOPK}
   * @return changed options
   * @throws IllegalArgumentException if out of range
   */
  public BufferOptions maxTopk(int value) {
    requireAtLeast(value, 1, "maxTopk");
    if (value > MAX_TOPK) {
      throw new IllegalArgumentException("maxTopk must be <= " + MAX_TOPK + ": " + value);
    }
    BufferOptions changed = new BufferOptions(this);
    changed.maxTopk = value;
    return changed;
  }

  /**
   * Divides the ranks into nodes: ranks 0 to {@code value − 1} are node 0, the next as many node 1,
   * and so on. Normal mode then treats rows as if a network were between the nodes: combine sums
   * and rounds inside each node first, so that its results depend on it ({@link Buffer#combine}),
   * and {@link Statistics#network()} counts what crosses. Several nodes can be simulated on one
   * machine. Low-latency mode knows no nodes.
   *
   * @param value ≥ 1; must divide the number of ranks. Without it all ranks are one node
   * @return changed options
   * @throws IllegalArgumentException if less than 1
   */
  public BufferOptions ranksPerNode(int value) {
    requireAtLeast(value, 1, "ranksPerNode");
    BufferOptions changed = new BufferOptions(this);
    changed.ranksPerNode = value;
    return changed;
  }

  /**
   * Rows of one rank that may be on their way through a rank of another node at once, where CUDA
   * has several nodes: memory for as many rows per other node, which {@link SizeHint} counts. A
   * sender waits for a free place. Fewer stay in the GPU's cache, more hide a longer way; the
   * default is 1,024 or, if less, {@code maxTokensPerRank}. No result depends on it.
   *
   * @param value from 1 to {@code maxTokensPerRank}
   * @return changed options
   * @throws IllegalArgumentException if out of that range
   */
  public BufferOptions stagingRows(int value) {
    if (value < 1 || value > maxTokensPerRank) {
      throw new IllegalArgumentException(
          "stagingRows must be from 1 to maxTokensPerRank " + maxTokensPerRank + ": " + value);
    }
    BufferOptions changed = new BufferOptions(this);
    changed.stagingRows = value;
    return changed;
  }

  /**
   * Sizes normal-mode regions for expert-major results too: one row per (token, local expert) and
   * the padding between groups.
   *
   * @return changed options
   */
  public BufferOptions expertMajor() {
    BufferOptions changed = new BufferOptions(this);
    changed.expertMajor = true;
    return changed;
  }

  /**
   * Adds the regions of the low-latency mode, which are for {@link #maxTokensPerRank()} tokens from
   * every rank to every local expert.
   *
   * @return changed options
   */
  public BufferOptions lowLatency() {
    BufferOptions changed = new BufferOptions(this);
    changed.lowLatency = true;
    return changed;
  }

  /**
   * Low-latency mode only: no regions for normal mode.
   *
   * @return changed options
   */
  public BufferOptions lowLatencyOnly() {
    BufferOptions changed = lowLatency();
    changed.normal = false;
    return changed;
  }

  /**
   * Rows that one normal-mode dispatch can deliver to this rank, padding included. May differ
   * between ranks.
   *
   * @param rows ≥ 1
   * @return changed options
   * @throws IllegalArgumentException if less than 1
   */
  public BufferOptions receiveCapacityRows(int rows) {
    requireAtLeast(rows, 1, "receiveCapacityRows");
    BufferOptions changed = new BufferOptions(this);
    changed.receiveCapacityRows = rows;
    return changed;
  }

  /**
   * Most 4-byte scale words that travel with an FP8 row.
   *
   * @param words ≥ 1; the default is one per 128 channels
   * @return changed options
   * @throws IllegalArgumentException if less than 1
   */
  public BufferOptions maxScalesPerRow(int words) {
    requireAtLeast(words, 1, "maxScalesPerRow");
    BufferOptions changed = new BufferOptions(this);
    changed.maxScalesPerRow = words;
    return changed;
  }

  /**
   * Largest alignment that an expert-major dispatch may ask for; the default capacity has room for
   * that much padding per local expert.
   *
   * @param value ≥ 1
   * @return changed options
   * @throws IllegalArgumentException if less than 1
   */
  public BufferOptions maxExpertAlignment(int value) {
    requireAtLeast(value, 1, "maxExpertAlignment");
    BufferOptions changed = new BufferOptions(this);
    changed.maxExpertAlignment = value;
    return changed;
  }

  /**
   * Normal-mode results, and expert outputs on their way back, that can be open at once.
   *
   * @param value from 1 to 64
   * @return changed options
   * @throws IllegalArgumentException if out of range
   */
  public BufferOptions normalRegions(int value) {
    BufferOptions changed = new BufferOptions(this);
    changed.normalRegions = requireRegions(value, "normalRegions");
    return changed;
  }

  /**
   * Low-latency dispatch results, and expert outputs on their way back, that can be open at once.
   *
   * @param value from 1 to 64; on CUDA at most 16
   * @return changed options
   * @throws IllegalArgumentException if out of range
   */
  public BufferOptions lowLatencyRegions(int value) {
    BufferOptions changed = new BufferOptions(this);
    changed.lowLatencyRegions = requireRegions(value, "lowLatencyRegions");
    return changed;
  }

  /**
   * One arena instead of fixed normal-mode regions: each result and each set of expert outputs
   * takes the bytes that it needs, so that as many are open as memory allows (at most 64 of each;
   * on CUDA at most 16 inputs of combines handed out). What is different from fixed regions:
   *
   * <ul>
   *   <li>A combine whose {@code receive()} was left open is received by the next call that needs
   *       memory: any combine, and on CUDA any dispatch.
   *   <li>A cached dispatch waits on the host until every rank has said whether it has room, and
   *       throws {@link io.github.deepep4j.error.EpCapacityException} on all ranks if one has none.
   *       On CUDA only bounded dispatches and combines can be captured in a graph.
   *   <li>On CUDA an exact dispatch is placed in the largest free range, since its rows are not
   *       known when it is called, and then shrinks to its rows; everything else takes the first
   *       range that holds it.
   * </ul>
   *
   * @param bytes ≥ 1; may differ between ranks
   * @return changed options
   * @throws IllegalArgumentException if less than 1
   */
  public BufferOptions arenaBytes(long bytes) {
    if (bytes < 1) {
      throw new IllegalArgumentException("arenaBytes must be >= 1: " + bytes);
    }
    BufferOptions changed = new BufferOptions(this);
    changed.arenaBytes = bytes;
    changed.normalRegions = MAX_REGIONS;
    return changed;
  }

  /**
   * Normal-mode handles that can be open at once.
   *
   * @param value ≥ 1
   * @return changed options
   * @throws IllegalArgumentException if less than 1
   */
  public BufferOptions maxOpenHandles(int value) {
    requireAtLeast(value, 1, "maxOpenHandles");
    BufferOptions changed = new BufferOptions(this);
    changed.maxOpenHandles = value;
    return changed;
  }

  /**
   * Deadline of each wait on another rank.
   *
   * @param value more than zero; the default is 30 s
   * @return changed options
   * @throws IllegalArgumentException if zero or negative
   */
  public BufferOptions timeout(Duration value) {
    BufferOptions changed = new BufferOptions(this);
    changed.timeout = requirePositive(value, "timeout");
    return changed;
  }

  /**
   * What happens when a wait passes its deadline.
   *
   * @param value the policy; the default is {@link TimeoutPolicy#THROW}
   * @return changed options
   */
  public BufferOptions onTimeout(TimeoutPolicy value) {
    BufferOptions changed = new BufferOptions(this);
    changed.onTimeout = Objects.requireNonNull(value, "onTimeout");
    return changed;
  }

  /**
   * Tuning of this rank, where no {@link #measuredTuning} fits.
   *
   * @param value the configuration
   * @return changed options
   */
  public BufferOptions tuning(TuningConfig value) {
    BufferOptions changed = new BufferOptions(this);
    changed.tuning = Objects.requireNonNull(value, "tuning");
    return changed;
  }

  /**
   * A tuning that was measured, usually {@link MeasuredTuning#read read} from a file. A buffer uses
   * it instead of {@link #tuning(TuningConfig)} if its device and its group are those that it was
   * measured on; else it is reported once, by a log line that names each difference, and ignored.
   * {@link Buffer#tuning()} tells which is in use.
   *
   * @param value the tuning
   * @return changed options
   */
  public BufferOptions measuredTuning(MeasuredTuning value) {
    BufferOptions changed = new BufferOptions(this);
    changed.measuredTuning = Objects.requireNonNull(value, "measuredTuning");
    return changed;
  }

  /**
   * How ranks on CUDA reach each other's memory.
   *
   * @param value the default is {@link Transport#AUTOMATIC}
   * @return changed options
   */
  public BufferOptions transport(Transport value) {
    BufferOptions changed = new BufferOptions(this);
    changed.transport = Objects.requireNonNull(value, "transport");
    return changed;
  }

  /**
   * Settings of {@link Transport#NVSHMEM}.
   *
   * @param value the settings
   * @return changed options
   */
  public BufferOptions nvshmem(NvshmemOptions value) {
    BufferOptions changed = new BufferOptions(this);
    changed.nvshmem = Objects.requireNonNull(value, "nvshmem");
    return changed;
  }

  /**
   * Experts over all ranks.
   *
   * @return ≥ 1
   */
  public int numExperts() {
    return numExperts;
  }

  /**
   * Largest row width.
   *
   * @return BF16 elements
   */
  public int hidden() {
    return hidden;
  }

  /**
   * Most tokens per rank and call.
   *
   * @return ≥ 1
   */
  public int maxTokensPerRank() {
    return maxTokensPerRank;
  }

  /**
   * Most experts per token.
   *
   * @return from 1 to {@value #MAX_TOPK}
   */
  public int maxTopk() {
    return maxTopk;
  }

  /**
   * Ranks of each node.
   *
   * @return what was set; 0 where all ranks are one node
   */
  public int ranksPerNode() {
    return ranksPerNode;
  }

  /**
   * Rows on their way through a rank of another node.
   *
   * @return what was set; 0 for the default
   */
  public int stagingRows() {
    return stagingRows;
  }

  /**
   * Whether normal mode has regions.
   *
   * @return false after {@link #lowLatencyOnly()}
   */
  public boolean isNormal() {
    return normal;
  }

  /**
   * Whether normal-mode regions hold expert-major results.
   *
   * @return true after {@link #expertMajor()}
   */
  public boolean isExpertMajor() {
    return expertMajor;
  }

  /**
   * Whether the low-latency mode has regions.
   *
   * @return true after {@link #lowLatency()}
   */
  public boolean isLowLatency() {
    return lowLatency;
  }

  /**
   * Rows that one normal-mode dispatch can deliver here.
   *
   * @param order the result's order
   * @param numRanks n
   * @param numTopk K of the call, or {@link #maxTopk()} for the largest
   * @return what was set, else {@code n·maxTokensPerRank}; expert-major {@code
   *     n·maxTokensPerRank·min(K, localExperts)} plus {@code localExperts·(maxExpertAlignment − 1)}
   */
  public long receiveCapacityRows(RowOrder order, int numRanks, int numTopk) {
    if (receiveCapacityRows > 0) {
      return receiveCapacityRows;
    }
    long rows = (long) numRanks * maxTokensPerRank;
    if (order == RowOrder.RANK_MAJOR) {
      return rows;
    }
    int localExperts = numExperts / numRanks;
    return rows * Math.min(numTopk, localExperts) + (long) localExperts * (maxExpertAlignment - 1);
  }

  /**
   * Most 4-byte scale words per row.
   *
   * @return what was set, else {@code ceil(hidden/128)}
   */
  public int maxScalesPerRow() {
    return maxScalesPerRow > 0 ? maxScalesPerRow : (hidden + 127) / 128;
  }

  /**
   * Largest alignment of expert-major groups.
   *
   * @return ≥ 1
   */
  public int maxExpertAlignment() {
    return maxExpertAlignment;
  }

  /**
   * Normal-mode regions, of each kind.
   *
   * @return from 1 to 64
   */
  public int normalRegions() {
    return normalRegions;
  }

  /**
   * Low-latency regions, of each kind.
   *
   * @return from 1 to 64
   */
  public int lowLatencyRegions() {
    return lowLatencyRegions;
  }

  /**
   * Bytes of the arena.
   *
   * @return 0 for fixed regions
   */
  public long arenaBytes() {
    return arenaBytes;
  }

  /**
   * Normal-mode handles that can be open at once.
   *
   * @return ≥ 1
   */
  public int maxOpenHandles() {
    return maxOpenHandles;
  }

  /**
   * Deadline of each wait on another rank.
   *
   * @return more than zero
   */
  public Duration timeout() {
    return timeout;
  }

  /**
   * What happens when a wait passes its deadline.
   *
   * @return the policy
   */
  public TimeoutPolicy onTimeout() {
    return onTimeout;
  }

  /**
   * Tuning of this rank.
   *
   * @return the configuration
   */
  public TuningConfig tuning() {
    return tuning;
  }

  /**
   * A tuning that was measured.
   *
   * @return the tuning; null if none was set
   */
  public @Nullable MeasuredTuning measuredTuning() {
    return measuredTuning;
  }

  /**
   * How ranks on CUDA reach each other's memory.
   *
   * @return the transport
   */
  public Transport transport() {
    return transport;
  }

  /**
   * Settings of {@link Transport#NVSHMEM}.
   *
   * @return the settings
   */
  public NvshmemOptions nvshmem() {
    return nvshmem;
  }

  /**
   * The options that all ranks must share, in words; equal strings mean agreement.
   *
   * @return one {@code name=value} for each, separated by spaces
   */
  public String sharedDescription() {
    return String.join(
        " ",
        "numExperts=" + numExperts,
        "hidden=" + hidden,
        "maxTokensPerRank=" + maxTokensPerRank,
        "maxTopk=" + maxTopk,
        "ranksPerNode=" + (ranksPerNode == 0 ? "all" : ranksPerNode),
        "stagingRows=" + (stagingRows == 0 ? "default" : stagingRows),
        "normal=" + normal,
        "expertMajor=" + expertMajor,
        "lowLatency=" + lowLatency,
        "maxScalesPerRow=" + maxScalesPerRow(),
        "maxExpertAlignment=" + maxExpertAlignment,
        "normalRegions=" + normalRegions,
        "lowLatencyRegions=" + lowLatencyRegions,
        "arena=" + (arenaBytes > 0),
        "transport=" + transport,
        "forceRemote=" + nvshmem.isForceRemote());
  }

  private static final int MAX_REGIONS = 64;

  private static int requireRegions(int value, String name) {
    requireAtLeast(value, 1, name);
    if (value > MAX_REGIONS) {
      throw new IllegalArgumentException(name + " must be <= " + MAX_REGIONS + ": " + value);
    }
    return value;
  }

  static void requireAtLeast(int value, int least, String name) {
    if (value < least) {
      throw new IllegalArgumentException(name + " must be >= " + least + ": " + value);
    }
  }

  static Duration requirePositive(Duration value, String name) {
    if (value.isZero() || value.isNegative()) {
      throw new IllegalArgumentException(name + " must be more than zero: " + value);
    }
    return value;
  }
}
