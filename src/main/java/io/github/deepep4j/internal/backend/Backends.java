package io.github.deepep4j.internal.backend;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.Ep4j;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.error.BackendUnavailableException;
import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.cpu.CpuBackend;
import io.github.deepep4j.internal.cpu.WindowLayout;
import io.github.deepep4j.tensor.Device;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * Chooses a backend together with the other ranks. Explicit choices fail loudly, naming what was
 * tried; the automatic one takes CUDA only if every rank has it, else the CPU, and says so once.
 */
public final class Backends {
  private static final String PROPERTY = "deepep4j.backend";
  private static final List<String> KNOWN = List.of("cpu", "cuda");
  private static final System.Logger LOG = System.getLogger("io.github.deepep4j");
  private static final AtomicBoolean CHOICE_LOGGED = new AtomicBoolean();

  private Backends() {}

  /**
   * A new end of a buffer and where it runs.
   *
   * @param buffer the end
   * @param device its device
   */
  public record Created(BackendBuffer buffer, Device device) {}

  /** State of every backend on this machine; never throws. */
  public static List<Ep4j.BackendStatus> statuses() {
    return List.of(new CpuBackend().status(), cudaStatus());
  }

  /** Bytes that one rank's end of a buffer will take. */
  public static SizeHint sizeHint(BufferOptions options, int numRanks) {
    return WindowLayout.of(options, numRanks).sizeHint();
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
    Proposal own = Proposal.of(options, wanted);
    byte[][] all = group.allGather(own.encode());
    List<Proposal> proposals = new ArrayList<>();
    for (byte[] bytes : all) {
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
    for (int rank = 0; rank < proposals.size(); rank++) {
      if (!proposals.get(rank).problem().isEmpty()) {
        throw unavailable(group.rank(), rank, proposals.get(rank));
      }
    }
    logChoice(proposals.get(0));
    Device device = Device.cpu();
    return new Created(new CpuBackend().createBuffer(group, options, device), device);
  }

  /**
   * What one rank brings to the agreement.
   *
   * @param kind the backend it chose
   * @param automatic whether nobody asked for it
   * @param problem why the backend does not work there; empty if it does
   * @param description the options that all ranks must share
   */
  private record Proposal(Device.Kind kind, boolean automatic, String problem, String description) {
    private static final String SEPARATOR = "\n";

    static Proposal of(BufferOptions options, @Nullable Device wanted) {
      String property = System.getProperty(PROPERTY);
      Device.Kind kind = wanted == null ? kindByProperty(property) : wanted.kind();
      String problem = "";
      if (wanted == null && property != null && !KNOWN.contains(property)) {
        problem = PROPERTY + " must be one of " + KNOWN + ": " + property;
      } else if (kind == Device.Kind.CUDA) {
        problem = String.join("; ", cudaStatus().detail());
      }
      boolean automatic = wanted == null && property == null;
      return new Proposal(kind, automatic, problem, options.sharedDescription());
    }

    byte[] encode() {
      return String.join(SEPARATOR, kind.name(), "" + automatic, problem, description)
          .getBytes(StandardCharsets.UTF_8);
    }

    static Proposal decode(byte[] bytes) {
      String[] parts = new String(bytes, StandardCharsets.UTF_8).split(SEPARATOR, -1);
      if (parts.length != 4) {
        throw new EpException(
            EpException.Code.MISMATCH,
            -1,
            "creating a buffer",
            "a rank sent something that is no buffer proposal: the ranks are in different calls");
      }
      return new Proposal(
          Device.Kind.valueOf(parts[0]), Boolean.parseBoolean(parts[1]), parts[2], parts[3]);
    }
  }

  private static void checkAgreement(int self, List<Proposal> proposals) {
    Proposal first = proposals.get(0);
    for (int rank = 1; rank < proposals.size(); rank++) {
      Proposal other = proposals.get(rank);
      if (other.kind() != first.kind()) {
        throw mismatch(self, "backend " + first.kind(), rank, "backend " + other.kind());
      }
      String[] expected = first.description().split(" ", -1);
      String[] seen = other.description().split(" ", -1);
      for (int i = 0; i < Math.min(expected.length, seen.length); i++) {
        if (!expected[i].equals(seen[i])) {
          throw mismatch(self, expected[i], rank, seen[i]);
        }
      }
      if (expected.length != seen.length) {
        throw mismatch(self, first.description(), rank, other.description());
      }
    }
  }

  private static EpException mismatch(int self, String first, int rank, String other) {
    return new EpException(
        EpException.Code.MISMATCH,
        self,
        "creating a buffer",
        "rank 0 has " + first + ", rank " + rank + " has " + other);
  }

  private static EpException unavailable(int self, int rank, Proposal proposal) {
    String remedy =
        self == rank
            ? "Use Device.cpu(), or no device for the automatic choice."
            : "Rank " + rank + " reports this.";
    return new BackendUnavailableException(
        proposal.kind().name(), List.of(proposal.problem()), remedy);
  }

  /** The CPU unless the property asks for CUDA; unknown words become a problem of the proposal. */
  private static Device.Kind kindByProperty(@Nullable String property) {
    return "cuda".equals(property) ? Device.Kind.CUDA : Device.Kind.CPU;
  }

  private static Ep4j.BackendStatus cudaStatus() {
    return new Ep4j.BackendStatus(
        Device.Kind.CUDA, false, List.of("version " + Ep4j.version() + " has no CUDA backend"));
  }

  private static void logChoice(Proposal choice) {
    if (choice.automatic() && CHOICE_LOGGED.compareAndSet(false, true)) {
      LOG.log(
          System.Logger.Level.INFO,
          "DeepEP4J runs on the CPU backend: " + String.join("; ", cudaStatus().detail()));
    }
  }
}
