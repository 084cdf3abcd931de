package io.github.deepep4j.internal.memory;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Optional;

/**
 * Tells whether another rank's process has ended. A process id alone can't: it is reused, and in
 * another container it means another process. So the peer must have been seen alive at the start,
 * under the same namespace and with the start time that it claims; whatever is not certain counts
 * as alive.
 */
final class PeerProcess {
  /**
   * How far two JVMs' readings of one start time may lie apart: each adds the kernel's boot time,
   * in whole seconds and moved by clock adjustments, to the process's age.
   */
  private static final long START_TOLERANCE_MILLIS = 3_000;

  private final long pid;

  /** By this JVM's reckoning, which does not change; empty if the peer can't be watched. */
  private final Optional<Instant> seenStart;

  private PeerProcess(long pid, Optional<Instant> seenStart) {
    this.pid = pid;
    this.seenStart = seenStart;
  }

  /**
   * Looks at a peer that has just answered, so is alive.
   *
   * @param self the calling rank
   * @param peer any rank
   * @return the process
   */
  static PeerProcess of(WindowMember self, WindowMember peer) {
    boolean watchable =
        !self.sameProcess(peer)
            && !self.pidNamespace().isEmpty()
            && self.host().equals(peer.host())
            && self.pidNamespace().equals(peer.pidNamespace());
    Optional<Instant> start =
        watchable
            ? ProcessHandle.of(peer.pid())
                .flatMap(process -> process.info().startInstant())
                .filter(
                    seen ->
                        Math.abs(seen.toEpochMilli() - peer.startMillis())
                            <= START_TOLERANCE_MILLIS)
            : Optional.empty();
    return new PeerProcess(peer.pid(), start);
  }

  /** Whether the process has certainly ended, so that nothing writes on its behalf any more. */
  boolean knownDead() {
    if (seenStart.isEmpty()) {
      return false;
    }
    Optional<ProcessHandle> process = ProcessHandle.of(pid);
    if (process.isEmpty()) {
      return true;
    }
    Optional<Instant> start = process.get().info().startInstant();
    // Without a start time it is either gone since the line above, or hidden from us.
    boolean replaced = start.isPresent() && !start.equals(seenStart);
    return replaced || isZombie();
  }

  /**
   * A process that nobody has waited for keeps its id. Its memory is gone once its last thread is:
   * a leader that has ended before its other threads is shown as Z, too.
   */
  private boolean isZombie() {
    try {
      String stat =
          new String(
              Files.readAllBytes(Path.of("/proc/" + pid + "/stat")), StandardCharsets.ISO_8859_1);
      // After "pid (name) ": state is field 0, the number of threads field 17.
      String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
      return fields[0].equals("Z") && Long.parseLong(fields[17]) <= 1;
    } catch (IOException | RuntimeException e) {
      return false;
    }
  }
}
