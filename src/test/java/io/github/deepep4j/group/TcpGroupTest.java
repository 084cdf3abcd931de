package io.github.deepep4j.group;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.error.EpTimeoutException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A group over sockets, its ranks threads of this JVM. */
final class TcpGroupTest extends ProcessGroupContract {
  private static final String SECRET = "5f1c9a7e0b3d4486";

  @Override
  List<TcpGroup> form(int size, Duration timeout) throws Exception {
    int port = FreePort.find();
    TcpGroup[] ends = new TcpGroup[size];
    RankThreads.run(
        size,
        rank ->
            // The timeout is meant for exchanges: threads of a loaded machine may start late.
            ends[rank] = joinPatiently(TcpGroup.builder(rank, size).port(port), timeout));
    return List.of(ends);
  }

  private static TcpGroup joinPatiently(TcpGroup.Builder builder, Duration timeout) {
    return builder.secret(SECRET).timeout(timeout).formingTimeout(AMPLE).build();
  }

  @Test
  void shouldCarryLargeMessages_whenWithinTheLimit() throws Exception {
    int size = 3;
    List<? extends ProcessGroup> ends = open(size, AMPLE);
    RankThreads.run(
        size,
        rank -> {
          for (int round = 0; round < 3; round++) {
            byte[] mine = new byte[(5 << 20) + rank];
            Arrays.fill(mine, (byte) (rank + round));
            byte[][] all = ends.get(rank).allGather(mine);
            for (int peer = 0; peer < size; peer++) {
              byte[] expected = new byte[(5 << 20) + peer];
              Arrays.fill(expected, (byte) (peer + round));
              assertThat(Arrays.equals(all[peer], expected)).isTrue();
            }
          }
        });
  }

  @Test
  void shouldRefuseAMessage_whenOverTheLimit() throws Exception {
    int port = FreePort.find();
    RankThreads.run(
        2,
        rank -> {
          try (TcpGroup group =
              TcpGroup.builder(rank, 2).port(port).timeout(AMPLE).maxMessageBytes(100).build()) {
            assertThatThrownBy(() -> group.allGather(new byte[101]))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("a message may have 100 bytes: 101");
            // The refused call has not entered the exchange.
            assertThat(group.allGather(new byte[100])[1 - rank]).hasSize(100);
          }
        });
  }

  @Test
  void shouldWaitForRankZero_whenItComesLast() throws Exception {
    int port = FreePort.find();
    CountDownLatch othersTry = new CountDownLatch(2);
    RankThreads.run(
        3,
        rank -> {
          if (rank == 0) {
            othersTry.await();
            Thread.sleep(200);
          }
          othersTry.countDown();
          try (TcpGroup group = TcpGroup.builder(rank, 3).port(port).timeout(AMPLE).build()) {
            group.barrier();
          }
        });
  }

  @Test
  void shouldNameEveryMissingRank_whenTheGroupDoesNotForm() throws Exception {
    int port = FreePort.find();
    List<@Nullable Throwable> outcomes =
        RankThreads.outcomes(
            2, rank -> TcpGroup.builder(rank, 4).port(port).timeout(Duration.ofSeconds(1)).build());
    for (Throwable outcome : outcomes) {
      assertThat(outcome)
          .isInstanceOfSatisfying(
              EpTimeoutException.class, e -> assertThat(e.culprit()).isEqualTo(2))
          .hasMessageContaining("ranks [2, 3] of 4 have not joined at 127.0.0.1:" + port);
    }
  }

  @Test
  void shouldNameRankZero_whenItNeverListens() {
    int port = FreePort.find();
    assertThatThrownBy(() -> TcpGroup.builder(1, 2).port(port).timeout(SHORT).build())
        .isInstanceOfSatisfying(EpTimeoutException.class, e -> assertThat(e.culprit()).isZero())
        .hasMessageContaining("it can't be joined at 127.0.0.1:" + port)
        .hasMessageContaining("Connection refused");
  }

  @Test
  void shouldNameTheAddress_whenThePortIsTaken() throws Exception {
    try (var taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      assertThatThrownBy(() -> TcpGroup.builder(0, 2).port(taken.getLocalPort()).build())
          .isInstanceOfSatisfying(
              EpException.class, e -> assertThat(e.code()).isEqualTo(EpException.Code.GROUP))
          .hasMessageContaining("rank 0 can't listen on")
          .hasMessageContaining(":" + taken.getLocalPort());
    }
  }

  @Test
  void shouldHoldNoDescriptor_whenClosedOrNotFormed() throws Exception {
    form(2, AMPLE).forEach(TcpGroup::close); // whatever the JDK opens once, is open now
    long before = settledDescriptors(0);
    for (int i = 0; i < 20; i++) {
      form(3, AMPLE).forEach(TcpGroup::close);
      int port = FreePort.find();
      assertThatThrownBy(
              () -> TcpGroup.builder(1, 2).port(port).timeout(Duration.ofMillis(5)).build())
          .isInstanceOf(EpTimeoutException.class);
      try (var taken = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
        assertThatThrownBy(() -> TcpGroup.builder(0, 2).port(taken.getLocalPort()).build())
            .isInstanceOf(EpException.class);
      }
    }
    assertThat(settledDescriptors(before)).isLessThanOrEqualTo(before);
  }

  /** Open sockets and selectors; threads that end get some time to close theirs. */
  private static long settledDescriptors(long wanted) throws Exception {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    long steady = Long.MAX_VALUE;
    while (true) {
      long open = 0;
      try (var all = Files.list(Path.of("/proc/self/fd"))) {
        for (var descriptor : all.toList()) {
          try {
            String target = Files.readSymbolicLink(descriptor).toString();
            open += target.startsWith("socket:") || target.contains("[event") ? 1 : 0;
          } catch (NoSuchFileException e) {
            assertThat(e).as("closed meanwhile, or that of the list itself").isNotNull();
          }
        }
      }
      boolean settled = wanted > 0 ? open <= wanted : open == steady;
      if (settled || System.nanoTime() - deadline > 0) {
        return open;
      }
      steady = open;
      Thread.sleep(200);
    }
  }

  @Test
  void shouldNeedNoPort_whenAlone() {
    try (TcpGroup group = TcpGroup.builder(0, 1).build()) {
      assertThat(group.allGather(new byte[] {7})[0]).containsExactly(7);
      group.barrier();
    }
  }

  @Test
  void shouldReadTheLaunchersVariables_whenSet() {
    Map<String, String> variables =
        Map.of("RANK", "0", "WORLD_SIZE", "1", "LOCAL_RANK", "3", "MASTER_ADDR", "localhost");
    try (TcpGroup group = TcpGroup.environment(variables).build()) {
      assertThat(group.rank()).isZero();
      assertThat(group.size()).isEqualTo(1);
      assertThat(group.localRank()).isEqualTo(3);
      assertThat(group).hasToString("TcpGroup(rank 0 of 1 at localhost:0)");
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "RANK            |      | RANK must be set",
        "WORLD_SIZE      | two  | WORLD_SIZE must be an integer: 'two'",
        "WORLD_SIZE      | 0    | (WORLD_SIZE) must be >= 1: 0",
        "RANK            | 2    | (RANK) must be from 0 to 1: 2",
        "LOCAL_RANK      | -1   | (LOCAL_RANK) must be >= 0: -1",
        "MASTER_PORT     |      | MASTER_PORT must be set",
        "MASTER_PORT     | 70000| (MASTER_PORT) must be from 1 to 65535: 70000",
        "MASTER_ADDR     | ''   | (MASTER_ADDR) must not be empty",
        "MASTER_ADDR     | 192.0.2.1 | without a secret a group listens on loopback only, and 192.0.2.1 is 192.0.2.1",
        "DEEPEP4J_SECRET | ''   | (DEEPEP4J_SECRET) is set but empty",
        "DEEPEP4J_LISTEN_ANY | yes | DEEPEP4J_LISTEN_ANY must be 0 or 1: yes",
      })
  void shouldNameTheVariable_whenOneBreaksARule(
      String name, @Nullable String value, String message) {
    Map<String, String> variables = new HashMap<>();
    variables.put("RANK", "1");
    variables.put("WORLD_SIZE", "2");
    variables.put("MASTER_PORT", "29500");
    if (value == null) {
      variables.remove(name);
    } else {
      variables.put(name, value);
    }
    assertThatThrownBy(() -> TcpGroup.environment(variables).build())
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining(message);
  }

  @Test
  void shouldListenOnEveryInterface_whenToldTo() throws Exception {
    int port = FreePort.find();
    Map<String, String> variables = new HashMap<>();
    variables.put("WORLD_SIZE", "2");
    variables.put("MASTER_PORT", "" + port);
    variables.put("DEEPEP4J_LISTEN_ANY", "1");
    RankThreads.run(
        2,
        rank -> {
          Map<String, String> own = new HashMap<>(variables);
          own.put("RANK", "" + rank);
          // Any address of this machine will do for rank 1, even one that is not loopback.
          own.put("MASTER_ADDR", InetAddress.getLocalHost().getHostAddress());
          try (TcpGroup group = TcpGroup.environment(own).timeout(AMPLE).build()) {
            group.barrier();
          }
        });
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void shouldFormWithASecret_whenAllHaveTheSame(boolean late) throws Exception {
    int port = FreePort.find();
    RankThreads.run(
        3,
        rank -> {
          if (late && rank == 2) {
            Thread.sleep(300);
          }
          try (TcpGroup group =
              TcpGroup.builder(rank, 3).port(port).secret(SECRET).timeout(AMPLE).build()) {
            assertThat(group.toString()).doesNotContain(SECRET);
            group.barrier();
          }
        });
  }
}
