package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.NvshmemOptions;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.NvshmemConfig;
import io.github.deepep4j.internal.cuda.binding.NvshmemNative;
import io.github.deepep4j.internal.cuda.binding.NvshmemStanding;
import io.github.deepep4j.internal.memory.Agreement;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.internal.memory.ProcessIdentity;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * This process as a PE of NVSHMEM: it joins with its first buffer and leaves with the last one,
 * since both are moments to which all ranks come. Before any call that waits inside NVSHMEM the
 * ranks agree over their group that nothing is against it.
 */
final class NvshmemWorld {
  private static final String OPERATION = "joining NVSHMEM";
  private static final String HEAP_VARIABLE = "NVSHMEM_SYMMETRIC_SIZE";

  /** Beside the window: what NVSHMEM itself keeps in the heap, and ends of its pages. */
  private static final long HEAP_ROOM = 64L << 20;

  /** What releases is waited for no longer than this, however long calls may wait. */
  private static final Duration LONGEST_RELEASE = Duration.ofSeconds(10);

  /** Id of the ranks that this process is one of; empty while NVSHMEM does not run. */
  private static String tag = "";

  private static int rankInWorld;
  private static int buffers;

  private NvshmemWorld() {}

  /**
   * What a rank tells before anything is done.
   *
   * @param tag of the ranks that it has joined; empty if none
   * @param rankInWorld its place among them
   * @param isAbandoned whether NVSHMEM was given up there
   * @param host its host
   * @param version of its NVSHMEM
   * @param windowBytes that its buffer needs
   */
  private record Facts(
      String tag,
      int rankInWorld,
      boolean isAbandoned,
      String host,
      String version,
      long windowBytes) {
    static Facts own(long windowBytes) {
      try (NvshmemStanding standing = new NvshmemStanding()) {
        Natives.require(NvshmemNative.look(standing.address()), -1, OPERATION);
        return new Facts(
            joined(),
            joinedAs(),
            standing.getInt(NvshmemStanding.ABANDONED) != 0,
            ProcessIdentity.host(),
            standing.version(),
            windowBytes);
      }
    }

    byte[] encode() {
      return String.join(
              "\n", tag, "" + rankInWorld, "" + isAbandoned, host, version, "" + windowBytes)
          .getBytes(StandardCharsets.UTF_8);
    }

    static Facts decode(byte[] bytes, int rank) {
      String[] parts = new String(bytes, StandardCharsets.UTF_8).split("\n", -1);
      if (parts.length != 6) {
        throw new EpException(
            EpException.Code.MISMATCH, rank, OPERATION, "the ranks are in different calls");
      }
      return new Facts(
          parts[0],
          Integer.parseInt(parts[1]),
          Boolean.parseBoolean(parts[2]),
          parts[3],
          parts[4],
          Long.parseLong(parts[5]));
    }
  }

  /**
   * What a buffer's ranks have agreed on.
   *
   * @param windowBytes of every rank's window
   * @param isOneHost whether they share host memory
   */
  record Place(long windowBytes, boolean isOneHost) {}

  /**
   * Makes this process one of the group's PEs if it is not yet. Collective: every rank returns, or
   * every rank throws.
   *
   * @param group the ranks
   * @param sizes of the buffer that is to be made
   */
  static Place enter(ProcessGroup group, BufferSizes sizes) {
    List<Facts> all = new ArrayList<>();
    for (byte[] bytes : group.allGather(Facts.own(sizes.nvshmemWindowBytes()).encode())) {
      all.add(Facts.decode(bytes, group.rank()));
    }
    check(all, group.rank());
    long windowBytes = all.stream().mapToLong(Facts::windowBytes).max().orElseThrow();
    if (all.get(0).tag().isEmpty()) {
      start(group, sizes, windowBytes);
    }
    String host = all.get(0).host();
    boolean isOneHost = !host.isEmpty() && all.stream().allMatch(f -> f.host().equals(host));
    return new Place(windowBytes, isOneHost);
  }

  /** Decided from what all ranks have, so all decide alike. */
  private static void check(List<Facts> all, int self) {
    Facts first = all.get(0);
    for (int rank = 0; rank < all.size(); rank++) {
      Facts facts = all.get(rank);
      if (facts.isAbandoned()) {
        throw failure(
            EpException.Code.DEVICE,
            self,
            "NVSHMEM was abandoned on rank "
                + rank
                + " after a rank had not come or had ended: all ranks have to be started again");
      }
      if (!facts.version().equals(first.version())) {
        throw failure(
            EpException.Code.MISMATCH,
            self,
            "rank 0 has NVSHMEM " + first.version() + ", rank " + rank + " has " + facts.version());
      }
      if (!facts.tag().equals(first.tag())
          || (!facts.tag().isEmpty() && facts.rankInWorld() != rank)) {
        throw failure(
            EpException.Code.MISMATCH,
            self,
            "buffers over NVSHMEM that are open at once must be of the same ranks in the same"
                + " order, and rank "
                + rank
                + " has an open buffer of another group");
      }
    }
  }

  private static EpException failure(EpException.Code code, int self, String detail) {
    return new EpException(code, self, OPERATION, detail);
  }

  private static void start(ProcessGroup group, BufferSizes sizes, long windowBytes) {
    Agreement agreement = new Agreement(group, OPERATION);
    byte[] id = new byte[NvshmemNative.ID_BYTES];
    agreement.step("making NVSHMEM's unique id", () -> makeId(group.rank(), id));
    byte[] given = group.allGather(id)[0];
    Duration timeout = sizes.options().timeout();
    agreement.step(
        "starting NVSHMEM",
        () ->
            NvshmemCall.within(
                timeout, group.rank(), OPERATION, () -> start(sizes, windowBytes, given)));
    started(Integer.toHexString(Arrays.hashCode(given)) + "-" + group.size(), group.rank());
  }

  private static synchronized void started(String newTag, int newRank) {
    tag = newTag;
    rankInWorld = newRank;
    buffers = 0;
  }

  private static synchronized String joined() {
    return tag;
  }

  private static synchronized int joinedAs() {
    return rankInWorld;
  }

  private static void makeId(int rank, byte[] id) {
    if (rank == 0) {
      try (Memory memory = OffHeap.allocate(id.length)) {
        Natives.require(NvshmemNative.createId(memory.address()), rank, OPERATION);
        OffHeap.copyToArray(memory.address(), id, 0, id.length);
      }
    }
  }

  private static long start(BufferSizes sizes, long windowBytes, byte[] id) {
    NvshmemOptions options = sizes.options().nvshmem();
    String hcaList = options.hcaList();
    byte[] list = (hcaList == null ? "" : hcaList).getBytes(StandardCharsets.UTF_8);
    try (NvshmemConfig config = new NvshmemConfig();
        Memory given = OffHeap.allocate(id.length);
        Memory text = OffHeap.allocate(list.length + 1L)) {
      OffHeap.copyFromArray(id, 0, given.address(), id.length);
      OffHeap.copyFromArray(list, 0, text.address(), list.length);
      OffHeap.putByte(text.address() + list.length, (byte) 0);
      Boolean ibgda = options.ibgda();
      config.putInt(NvshmemConfig.DEVICE, sizes.device().index());
      config.putInt(NvshmemConfig.RANK, sizes.rank());
      config.putInt(NvshmemConfig.NUM_RANKS, sizes.numRanks());
      config.putInt(NvshmemConfig.SERVICE_LEVEL, options.serviceLevel());
      config.putInt(NvshmemConfig.QPS_PER_RANK, options.queuePairsPerRank());
      config.putInt(NvshmemConfig.IBGDA, ibgda == null ? -1 : ibgda ? 1 : 0);
      config.putLong(
          NvshmemConfig.HEAP_BYTES,
          heapBytes(options, windowBytes, System.getenv(HEAP_VARIABLE) != null));
      Duration timeout = sizes.options().timeout();
      Duration release = timeout.compareTo(LONGEST_RELEASE) < 0 ? timeout : LONGEST_RELEASE;
      config.putLong(NvshmemConfig.RELEASE_TIMEOUT_NANOS, release.toNanos());
      config.putLong(NvshmemConfig.HCA_LIST, hcaList == null ? 0 : text.address());
      Natives.require(
          NvshmemNative.start(config.address(), given.address()), sizes.rank(), OPERATION);
      return 0;
    }
  }

  /**
   * Bytes of the symmetric heap.
   *
   * @param options what was given
   * @param windowBytes of the first buffer
   * @param isInEnvironment whether NVSHMEM's own variable says it
   * @return 0 to leave it to the variable
   */
  static long heapBytes(NvshmemOptions options, long windowBytes, boolean isInEnvironment) {
    if (options.symmetricHeapBytes() > 0) {
      return options.symmetricHeapBytes();
    }
    return isInEnvironment ? 0 : windowBytes + HEAP_ROOM;
  }

  /** Counts a buffer that was made. */
  static synchronized void opened() {
    buffers++;
  }

  /**
   * Counts a buffer that all ranks have freed. With the last one NVSHMEM is stopped.
   *
   * @return false if the others did not come to that, which abandons NVSHMEM
   */
  static synchronized boolean closed() {
    buffers--;
    if (buffers > 0) {
      return true;
    }
    tag = "";
    int status = NvshmemNative.stop(0);
    return status == Abi.OK;
  }

  /** Bytes of windows that were left allocated, −1 if NVSHMEM was not abandoned. */
  static long abandonedBytes() {
    try (NvshmemStanding standing = new NvshmemStanding()) {
      Natives.require(NvshmemNative.look(standing.address()), -1, "looking at NVSHMEM");
      return standing.getInt(NvshmemStanding.ABANDONED) == 0
          ? -1
          : standing.getLong(NvshmemStanding.ABANDONED_BYTES);
    }
  }
}
