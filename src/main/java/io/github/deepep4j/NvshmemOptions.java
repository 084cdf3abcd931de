package io.github.deepep4j;

import java.util.Objects;
import java.util.StringJoiner;
import org.jspecify.annotations.Nullable;

/**
 * Settings of {@link Transport#NVSHMEM}. One that is not given is left to NVSHMEM's variable of the
 * environment, and where that is not set either, to NVSHMEM, but for the symmetric heap and IBGDA,
 * which have the defaults said below. NVSHMEM reads them once, when the first buffer of a process
 * is made: those of buffers beside it have no effect, but for {@link #forceRemote()}. Immutable:
 * each setter returns a changed copy.
 *
 * <p><b>Where things are looked for.</b> {@code libep4j_nvshmem.so}, which {@code
 * scripts/build-native.sh} builds: the file that the system property {@value #LIBRARY_PROPERTY}
 * names; the directory of {@code deepep4j.native.dir}; the class path, beside {@code libep4j.so};
 * {@code java.library.path}. NVSHMEM itself: the directory of the system property {@value
 * #HOME_PROPERTY}; that of the variable {@value #HOME_VARIABLE}; what pip has installed for the
 * Pythons on {@code PATH} (package {@code nvidia-nvshmem-cu13}); and where the system's loader
 * looks, {@code LD_LIBRARY_PATH} first. Nothing of it is loaded before a buffer asks for it.
 */
public final class NvshmemOptions {
  /** System property that names the file {@code libep4j_nvshmem.so}. */
  public static final String LIBRARY_PROPERTY = "deepep4j.nvshmem.library";

  /** System property that names NVSHMEM's directory, which has {@code lib/}. */
  public static final String HOME_PROPERTY = "deepep4j.nvshmem.home";

  /** Variable of the environment that names NVSHMEM's directory. */
  public static final String HOME_VARIABLE = "NVSHMEM_HOME";

  private static final NvshmemOptions DEFAULTS = new NvshmemOptions();
  private static final int MAX_SERVICE_LEVEL = 15;

  private int serviceLevel = -1;
  private int queuePairsPerRank;
  private int ibgda = -1;
  private long heapBytes;
  private @Nullable String hcaList;
  private boolean forceRemote;

  private NvshmemOptions() {}

  private NvshmemOptions(NvshmemOptions from) {
    serviceLevel = from.serviceLevel;
    queuePairsPerRank = from.queuePairsPerRank;
    ibgda = from.ibgda;
    heapBytes = from.heapBytes;
    hcaList = from.hcaList;
    forceRemote = from.forceRemote;
  }

  /**
   * Nothing given.
   *
   * @return the options
   */
  public static NvshmemOptions defaults() {
    return DEFAULTS;
  }

  /**
   * The service level of this traffic, which the subnet maps to a virtual lane: keeps it apart from
   * other traffic. Else {@code NVSHMEM_IB_SL}.
   *
   * @param value from 0 to 15
   * @return changed options
   * @throws IllegalArgumentException if out of range
   */
  public NvshmemOptions serviceLevel(int value) {
    if (value < 0 || value > MAX_SERVICE_LEVEL) {
      throw new IllegalArgumentException(
          "serviceLevel must be from 0 to " + MAX_SERVICE_LEVEL + ": " + value);
    }
    NvshmemOptions changed = new NvshmemOptions(this);
    changed.serviceLevel = value;
    return changed;
  }

  /**
   * Queue pairs to each rank; more let more blocks post at once. Else {@code
   * NVSHMEM_IBGDA_NUM_RC_PER_PE}.
   *
   * @param value ≥ 1
   * @return changed options
   * @throws IllegalArgumentException if less than 1
   */
  public NvshmemOptions queuePairsPerRank(int value) {
    BufferOptions.requireAtLeast(value, 1, "queuePairsPerRank");
    NvshmemOptions changed = new NvshmemOptions(this);
    changed.queuePairsPerRank = value;
    return changed;
  }

  /**
   * The adapters to use, as {@code mlx5_0:1,mlx5_1:1}, or with {@code ^} in front those to leave
   * out. Else {@code NVSHMEM_HCA_LIST}. May differ between ranks.
   *
   * @param value not blank
   * @return changed options
   * @throws IllegalArgumentException if blank
   */
  public NvshmemOptions hcaList(String value) {
    if (Objects.requireNonNull(value, "hcaList").isBlank()) {
      throw new IllegalArgumentException(
          "hcaList must name an adapter, as mlx5_0:1: '" + value + "'");
    }
    NvshmemOptions changed = new NvshmemOptions(this);
    changed.hcaList = value;
    return changed;
  }

  /**
   * Whether the GPU rings an adapter's bell itself instead of a thread of the host. Else {@code
   * NVSHMEM_IB_ENABLE_IBGDA}, else true where an mlx5 adapter is.
   *
   * @param value true to let the GPU do it
   * @return changed options
   */
  public NvshmemOptions ibgda(boolean value) {
    NvshmemOptions changed = new NvshmemOptions(this);
    changed.ibgda = value ? 1 : 0;
    return changed;
  }

  /**
   * Bytes of the symmetric heap, which holds the windows of all buffers that are open at once. Else
   * {@code NVSHMEM_SYMMETRIC_SIZE}, else what the first buffer's window takes and some room.
   * NVSHMEM enlarges a heap that is too small where the driver can map memory piece by piece.
   *
   * @param value ≥ 1; the same on all ranks
   * @return changed options
   * @throws IllegalArgumentException if less than 1
   */
  public NvshmemOptions symmetricHeapBytes(long value) {
    if (value < 1) {
      throw new IllegalArgumentException("symmetricHeapBytes must be >= 1: " + value);
    }
    NvshmemOptions changed = new NvshmemOptions(this);
    changed.heapBytes = value;
    return changed;
  }

  /**
   * Writes to every other rank as over a network, also where loads and stores reach it: so that the
   * network's code is tested on one machine.
   *
   * @return changed options
   */
  public NvshmemOptions forceRemote() {
    NvshmemOptions changed = new NvshmemOptions(this);
    changed.forceRemote = true;
    return changed;
  }

  /**
   * The service level.
   *
   * @return from 0 to 15, or −1 if not given
   */
  public int serviceLevel() {
    return serviceLevel;
  }

  /**
   * Queue pairs to each rank.
   *
   * @return ≥ 1, or 0 if not given
   */
  public int queuePairsPerRank() {
    return queuePairsPerRank;
  }

  /**
   * The adapters.
   *
   * @return the list; null if not given
   */
  public @Nullable String hcaList() {
    return hcaList;
  }

  /**
   * Whether the GPU rings the bell.
   *
   * @return true or false; null if not given
   */
  public @Nullable Boolean ibgda() {
    return ibgda < 0 ? null : Boolean.valueOf(ibgda == 1);
  }

  /**
   * Bytes of the symmetric heap.
   *
   * @return ≥ 1, or 0 if not given
   */
  public long symmetricHeapBytes() {
    return heapBytes;
  }

  /**
   * Whether ranks within reach are written to as over a network.
   *
   * @return true after {@link #forceRemote()}
   */
  public boolean isForceRemote() {
    return forceRemote;
  }

  /** What was given, as {@code name=value}, separated by spaces. */
  @Override
  public String toString() {
    StringJoiner given = new StringJoiner(" ", "[", "]");
    if (serviceLevel >= 0) {
      given.add("serviceLevel=" + serviceLevel);
    }
    if (queuePairsPerRank > 0) {
      given.add("queuePairsPerRank=" + queuePairsPerRank);
    }
    if (hcaList != null) {
      given.add("hcaList=" + hcaList);
    }
    if (ibgda >= 0) {
      given.add("ibgda=" + (ibgda == 1));
    }
    if (heapBytes > 0) {
      given.add("symmetricHeapBytes=" + heapBytes);
    }
    if (forceRemote) {
      given.add("forceRemote");
    }
    return given.toString();
  }
}
