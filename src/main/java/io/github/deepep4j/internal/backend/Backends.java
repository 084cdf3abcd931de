package io.github.deepep4j.internal.backend;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.Ep4j;
import io.github.deepep4j.MeasuredTuning;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.Transport;
import io.github.deepep4j.error.BackendUnavailableException;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.cpu.CpuBackend;
import io.github.deepep4j.internal.cpu.WindowLayout;
import io.github.deepep4j.internal.cuda.CudaBackend;
import io.github.deepep4j.internal.memory.ProcessIdentity;
import io.github.deepep4j.internal.nvshmem.NvshmemLibrary;
import io.github.deepep4j.tensor.Device;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * Chooses a backend together with the other ranks. Explicit choices fail loudly, naming what was
 * tried; the automatic one takes CUDA only if every rank has it, else the CPU, and says so once.
 */
public final class Backends {
  private static final String PROPERTY = "deepep4j.backend";
  private static final String LOCAL_RANK = "LOCAL_RANK";
  private static final List<String> KNOWN = List.of("cpu", "cuda");
  private static final System.Logger LOG = System.getLogger("io.github.deepep4j");
  private static final AtomicBoolean CHOICE_LOGGED = new AtomicBoolean();

  private Backends() {}

  /**
   * A new end of a buffer and where it runs.
   *
   * @param buffer the end
   * @param device its device
   * @param tuning in use
   */
  public record Created(BackendBuffer buffer, Device device, MeasuredTuning tuning) {}

  /** State of every backend on this machine; never throws. */
  public static List<Ep4j.BackendStatus> statuses() {
    return List.of(new CpuBackend().status(), new CudaBackend().status());
  }

  /** Bytes that one rank's end of a buffer will take. */
  public static SizeHint sizeHint(BufferOptions options, int numRanks, Device device) {
    WindowLayout window = WindowLayout.of(options, numRanks);
    if (device.isCpu()) {
      return window.sizeHint();
    }
    return options.transport() == Transport.NVSHMEM
        ? NvshmemLibrary.get().end().sizeHint(options, numRanks)
        : CudaBackend.sizeHint(options, numRanks);
  }

  /**
   * Memory of a device.
   *
   * @param device any
   * @throws BackendUnavailableException if it does not work here
   */
  public static DeviceSpace space(Device device) {
    if (device.isCpu()) {
      return HostSpace.INSTANCE;
    }
    String problem = problemOf(device.index());
    if (!problem.isEmpty()) {
      throw new BackendUnavailableException(
          device.kind().name(), List.of(problem), "Use Device.cpu().");
    }
    return CudaBackend.space(device);
  }

  /**
   * Agrees with all ranks on options and backend, then makes this rank's end. Collective; every
   * rank returns or every rank throws.
   *
   * @param group the members
   * @param options this rank's options
   * @param wanted the device asked for; null for the automatic choice
   */
  public static Created create(ProcessGroup group, BufferOptions options, @Nullable Device wanted) {
    List<Proposal> proposals = new ArrayList<>();
    for (byte[] bytes : group.allGather(Proposal.of(group, options, wanted).encode())) {
      proposals.add(Proposal.decode(bytes));
    }
    checkAgreement(group.rank(), proposals);
    if (options.numExperts() % group.size() != 0) {
      throw new IllegalArgumentException(
          "numExperts must be a multiple of the number of ranks: "
              + options.numExperts()
              + " over "
              + group.size());
    }
    Topology.of(options, group.size()); // refuses nodes that are not alike
    checkProcesses(options, proposals);
    Device.Kind kind = choose(group.rank(), options, proposals);
    if (kind == Device.Kind.CPU) {
      return create(new CpuBackend(), group, options, Device.cpu());
    }
    Device device = Device.cuda(wanted == null ? automaticIndex(group.rank()) : wanted.index());
    boolean isNvshmem = transport(options, proposals) == Transport.NVSHMEM;
    return create(isNvshmem ? nvshmem(group) : new CudaBackend(), group, options, device);
  }

  /** How ranks on CUDA reach each other; decided from what all ranks have. */
  private static Transport transport(BufferOptions options, List<Proposal> proposals) {
    if (options.transport() != Transport.AUTOMATIC) {
      return options.transport();
    }
    String host = proposals.get(0).host();
    return proposals.stream().allMatch(proposal -> proposal.host().equals(host))
        ? Transport.PEER
        : Transport.NVSHMEM;
  }

  /** The backend over NVSHMEM if every rank has it. Collective. */
  private static Backend nvshmem(ProcessGroup group) {
    NvshmemLibrary library = NvshmemLibrary.get();
    String problem = library.isLoaded() ? "" : nvshmemProblem();
    byte[][] problems = group.allGather(problem.getBytes(StandardCharsets.UTF_8));
    for (int rank = 0; rank < problems.length; rank++) {
      if (problems[rank].length > 0) {
        throw new BackendUnavailableException(
            Device.Kind.CUDA.name(),
            List.of(new String(problems[rank], StandardCharsets.UTF_8).split("; ", -1)),
            "Rank " + rank + " reports this. " + NvshmemLibrary.remedy());
      }
    }
    return library.end();
  }

  /** One PE of NVSHMEM is one process. */
  private static void checkProcesses(BufferOptions options, List<Proposal> proposals) {
    if (options.transport() != Transport.NVSHMEM) {
      return;
    }
    Map<String, Integer> first = new HashMap<>();
    for (int rank = 0; rank < proposals.size(); rank++) {
      Integer other = first.putIfAbsent(proposals.get(rank).process(), rank);
      if (other != null) {
        throw new IllegalArgumentException(
            "transport(NVSHMEM) needs a process for each rank: ranks "
                + other
                + " and "
                + rank
                + " are threads of one JVM, which transport(PEER) serves");
      }
    }
  }

  private static Created create(
      Backend backend, ProcessGroup group, BufferOptions options, Device device) {
    MeasuredTuning tuning = Tunings.choose(options, device, group.size());
    BufferOptions tuned = options.tuning(tuning.config());
    return new Created(backend.createBuffer(group, tuned, device), device, tuning);
  }

  /** What a rank asks for. */
  private enum Wish {
    AUTOMATIC,
    CPU,
    CUDA
  }

  /**
   * What one rank brings to the agreement.
   *
   * @param wish what was asked for there
   * @param cudaProblem why CUDA does not work there; empty if it does or nobody wants it
   * @param propertyProblem what is wrong with the system property there; empty if nothing is
   * @param host where it runs
   * @param process its process
   * @param description the options that all ranks must share
   */
  private record Proposal(
      Wish wish,
      String cudaProblem,
      String propertyProblem,
      String host,
      String process,
      String description) {
    private static final String SEPARATOR = "\n";

    static Proposal of(ProcessGroup group, BufferOptions options, @Nullable Device wanted) {
      String property = System.getProperty(PROPERTY);
      boolean unknown = wanted == null && property != null && !KNOWN.contains(property);
      Wish wish = wanted == null ? wishByProperty(property) : wishFor(wanted);
      String cudaProblem = "";
      if (wish != Wish.CPU) {
        String refusal = CudaBackend.refusal(options, group.size());
        cudaProblem =
            refusal.isEmpty()
                ? problemOf(wanted == null ? automaticIndex(group.rank()) : wanted.index())
                : refusal;
        if (options.transport() == Transport.NVSHMEM && !NvshmemLibrary.get().isLoaded()) {
          cudaProblem = (cudaProblem.isEmpty() ? "" : cudaProblem + "; ") + nvshmemProblem();
        }
      }
      return new Proposal(
          wish,
          cudaProblem,
          unknown ? PROPERTY + " must be one of " + KNOWN + ": " + property : "",
          ProcessIdentity.host(),
          ProcessIdentity.jvm().toString(),
          options.sharedDescription());
    }

    byte[] encode() {
      return String.join(
              SEPARATOR,
              wish.name(),
              oneLine(cudaProblem),
              oneLine(propertyProblem),
              host,
              process,
              description)
          .getBytes(StandardCharsets.UTF_8);
    }

    private static String oneLine(String text) {
      return text.replace(SEPARATOR, " ");
    }

    static Proposal decode(byte[] bytes) {
      String[] parts = new String(bytes, StandardCharsets.UTF_8).split(SEPARATOR, -1);
      if (parts.length != 6) {
        throw new EpException(
            EpException.Code.MISMATCH,
            -1,
            "creating a buffer",
            "a rank sent something that is no buffer proposal: the ranks are in different calls");
      }
      return new Proposal(Wish.valueOf(parts[0]), parts[1], parts[2], parts[3], parts[4], parts[5]);
    }
  }

  private static String nvshmemProblem() {
    return "no NVSHMEM: " + String.join("; ", NvshmemLibrary.get().findings());
  }

  private static Wish wishFor(Device wanted) {
    return wanted.isCpu() ? Wish.CPU : Wish.CUDA;
  }

  private static Wish wishByProperty(@Nullable String property) {
    if ("cuda".equals(property)) {
      return Wish.CUDA;
    }
    return "cpu".equals(property) ? Wish.CPU : Wish.AUTOMATIC;
  }

  private static void checkAgreement(int self, List<Proposal> proposals) {
    int firstWish = -1;
    for (int rank = 0; rank < proposals.size(); rank++) {
      Wish wish = proposals.get(rank).wish();
      if (wish != Wish.AUTOMATIC) {
        if (firstWish < 0) {
          firstWish = rank;
        } else if (proposals.get(firstWish).wish() != wish) {
          throw mismatch(
              self,
              firstWish,
              "backend " + proposals.get(firstWish).wish(),
              rank,
              "backend " + wish);
        }
      }
    }
    String[] expected = proposals.get(0).description().split(" ", -1);
    for (int rank = 1; rank < proposals.size(); rank++) {
      String[] seen = proposals.get(rank).description().split(" ", -1);
      for (int i = 0; i < Math.min(expected.length, seen.length); i++) {
        if (!expected[i].equals(seen[i])) {
          throw mismatch(self, 0, expected[i], rank, seen[i]);
        }
      }
      if (expected.length != seen.length) {
        throw mismatch(
            self, 0, proposals.get(0).description(), rank, proposals.get(rank).description());
      }
    }
  }

  private static EpException mismatch(int self, int first, String one, int rank, String other) {
    return new EpException(
        EpException.Code.MISMATCH,
        self,
        "creating a buffer",
        "rank " + first + " has " + one + ", rank " + rank + " has " + other);
  }

  /** Decides from what all ranks have, so all decide alike. */
  private static Device.Kind choose(int self, BufferOptions options, List<Proposal> proposals) {
    boolean explicitCuda = options.transport() == Transport.NVSHMEM;
    boolean explicitCpu = false;
    String reason = "";
    for (int rank = 0; rank < proposals.size(); rank++) {
      Proposal proposal = proposals.get(rank);
      if (!proposal.propertyProblem().isEmpty()) {
        throw unavailable(self, rank, proposal.propertyProblem(), options);
      }
      explicitCuda |= proposal.wish() == Wish.CUDA;
      explicitCpu |= proposal.wish() == Wish.CPU;
      if (reason.isEmpty() && !proposal.cudaProblem().isEmpty()) {
        reason = "rank " + rank + ": " + proposal.cudaProblem();
      }
    }
    if (explicitCuda) {
      for (int rank = 0; rank < proposals.size(); rank++) {
        if (!proposals.get(rank).cudaProblem().isEmpty()) {
          throw unavailable(self, rank, proposals.get(rank).cudaProblem(), options);
        }
      }
      if (explicitCpu) {
        throw new IllegalArgumentException(
            "transport(NVSHMEM) needs GPUs, and the ranks ask for the CPU");
      }
      return Device.Kind.CUDA;
    }
    if (explicitCpu) {
      return Device.Kind.CPU;
    }
    Device.Kind kind = reason.isEmpty() ? Device.Kind.CUDA : Device.Kind.CPU;
    if (CHOICE_LOGGED.compareAndSet(false, true)) {
      LOG.log(
          System.Logger.Level.INFO,
          "DeepEP4J runs on the "
              + kind
              + " backend"
              + (reason.isEmpty() ? ", which every rank has" : "; CUDA on " + reason));
    }
    return kind;
  }

  private static EpException unavailable(
      int self, int rank, String problem, BufferOptions options) {
    String remedy =
        self == rank
            ? "Use Device.cpu(), or no device for the automatic choice."
            : "Rank " + rank + " reports this.";
    if (options.transport() == Transport.NVSHMEM) {
      remedy = "Rank " + rank + " reports this. " + NvshmemLibrary.remedy();
    }
    return new BackendUnavailableException(
        Device.Kind.CUDA.name(), List.of(problem.split("; ", -1)), remedy);
  }

  /** Why a device does not work here; empty if it does. */
  private static String problemOf(int index) {
    int devices = CudaBackend.deviceCount();
    if (devices == 0) {
      return String.join("; ", new CudaBackend().status().detail());
    }
    return index < devices
        ? ""
        : "no device cuda:" + index + ": the driver has " + devices + " (from cuda:0)";
  }

  /**
   * The device of a rank that asks for none: the one that its launcher counted for it, else the
   * next in turn.
   */
  private static int automaticIndex(int rank) {
    int devices = Math.max(1, CudaBackend.deviceCount());
    String localRank = System.getenv(LOCAL_RANK);
    if (localRank != null && localRank.matches("[0-9]{1,4}")) {
      return Integer.parseInt(localRank) % devices;
    }
    return rank % devices;
  }
}
