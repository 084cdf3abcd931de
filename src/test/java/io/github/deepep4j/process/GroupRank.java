package io.github.deepep4j.process;

import static io.github.deepep4j.process.RoundTripRank.require;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpTimeoutException;
import io.github.deepep4j.group.TcpGroup;
import java.time.Duration;

/** One rank as a JVM in a group that loses a rank, without any buffer. */
final class GroupRank {
  private static final Duration AMPLE = Duration.ofSeconds(60);

  private GroupRank() {}

  /**
   * Joins, then waits in a barrier that the victim does not enter.
   *
   * @param args the victim; the deadline in milliseconds
   * @throws Exception fails the rank
   */
  public static void main(String[] args) throws Exception {
    int victim = Integer.parseInt(args[0]);
    Duration deadline = Duration.ofMillis(Long.parseLong(args[1]));
    TcpGroup group = TcpGroup.environment().formingTimeout(AMPLE).timeout(deadline).build();
    System.out.println("READY");
    if (group.rank() == victim) {
      Thread.sleep(10 * AMPLE.toMillis());
    }
    long start = System.nanoTime();
    try {
      group.barrier();
      throw new AssertionError("a barrier without the victim");
    } catch (EpTimeoutException e) {
      System.out.println("CAUGHT late: rank " + e.culprit());
    } catch (EpException e) {
      System.out.println("CAUGHT " + e.getMessage());
    }
    System.out.println("AFTER " + (System.nanoTime() - start) / 1_000_000);
    long closing = System.nanoTime();
    group.close();
    long millis = (System.nanoTime() - closing) / 1_000_000;
    require(millis < 2_000, "close() took " + millis + " ms");
    System.out.println("CLOSED");
  }
}
