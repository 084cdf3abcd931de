package io.github.deepep4j.internal.memory;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.group.ProcessGroup;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Local steps of a collective set-up that all ranks pass or fail together: after each step the
 * ranks tell each other how it went, so a failure anywhere is an exception everywhere, with the
 * same words, and no rank waits for one that has given up.
 */
public final class Agreement {
  /** What one rank does on its own. */
  @FunctionalInterface
  public interface Step {
    /**
     * Does it.
     *
     * @throws Exception any failure, reported to all ranks
     */
    void run() throws Exception;
  }

  /** Keeps the report of a whole group within a group's message size. */
  private static final int MAX_REPORT_CHARS = 600;

  private final ProcessGroup group;
  private final String operation;

  /**
   * For one collective operation.
   *
   * @param group its members
   * @param operation its name, for exceptions
   */
  public Agreement(ProcessGroup group, String operation) {
    this.group = group;
    this.operation = operation;
  }

  /** The calling rank. */
  int rank() {
    return group.rank();
  }

  /** An exception of this operation. */
  EpException failure(EpException.Code code, String detail, @Nullable Throwable cause) {
    return new EpException(code, group.rank(), operation, detail, cause);
  }

  /**
   * Runs a step on every rank. Collective.
   *
   * @param what the step, for exceptions
   * @param step this rank's part
   * @throws EpException on every rank, if any rank's part has failed, naming each of these
   */
  public void step(String what, Step step) {
    Throwable own = null;
    try {
      step.run();
    } catch (Exception | Error e) {
      own = e;
    }
    List<String> reports = exchange(own);
    List<String> failures = new ArrayList<>();
    for (int rank = 0; rank < reports.size(); rank++) {
      if (!reports.get(rank).isEmpty()) {
        failures.add("rank " + rank + ": " + reports.get(rank));
      }
    }
    if (!failures.isEmpty()) {
      throw failure(
          EpException.Code.DEVICE, what + " failed on " + String.join("; ", failures), own);
    }
  }

  private List<String> exchange(@Nullable Throwable own) {
    String report = own == null ? "" : describe(own);
    try {
      List<String> reports = new ArrayList<>();
      for (byte[] bytes : group.allGather(report.getBytes(StandardCharsets.UTF_8))) {
        reports.add(new String(bytes, StandardCharsets.UTF_8));
      }
      return reports;
    } catch (RuntimeException e) {
      if (own != null) {
        e.addSuppressed(own);
      }
      throw e;
    }
  }

  private static String describe(Throwable failure) {
    String message = failure.getMessage();
    String text =
        message == null || message.isBlank()
            ? failure.getClass().getSimpleName()
            : failure.getClass().getSimpleName() + ": " + message;
    return text.length() <= MAX_REPORT_CHARS ? text : text.substring(0, MAX_REPORT_CHARS) + "…";
  }
}
