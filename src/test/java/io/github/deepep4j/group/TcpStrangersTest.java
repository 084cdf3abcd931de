package io.github.deepep4j.group;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.error.EpException;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.ConnectException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Who must not join: rank 0 waits for rank 1 while something else connects. */
final class TcpStrangersTest {
  private static final Duration AMPLE = Duration.ofSeconds(60);
  private static final String SECRET = "0f73ab2199e84c1d";

  private final int port = FreePort.find();
  private final List<Socket> sockets = new ArrayList<>();
  private CompletableFuture<TcpGroup> rankZero = new CompletableFuture<>();

  @BeforeEach
  void startRankZero() {
    rankZero =
        CompletableFuture.supplyAsync(
            () -> builder(0, 2).build(), task -> new Thread(task, "rank-0").start());
  }

  @AfterEach
  void closeSockets() throws IOException {
    for (Socket socket : sockets) {
      socket.close();
    }
  }

  private TcpGroup.Builder builder(int rank, int size) {
    return TcpGroup.builder(rank, size).port(port).secret(SECRET).timeout(AMPLE);
  }

  /** After whatever has happened, the right rank joins and both work. */
  private void assertStillForms() throws Exception {
    assertThat(rankZero).isNotDone();
    try (TcpGroup one = builder(1, 2).build();
        TcpGroup zero = rankZero.get(30, TimeUnit.SECONDS)) {
      CompletableFuture<byte[][]> there =
          CompletableFuture.supplyAsync(() -> zero.allGather(new byte[] {4}));
      assertThat(one.allGather(new byte[] {5})[0]).containsExactly(4);
      assertThat(there.get(30, TimeUnit.SECONDS)[1]).containsExactly(5);
    }
  }

  private Socket connect() throws IOException, InterruptedException {
    return connect(port);
  }

  private Socket connect(int to) throws IOException, InterruptedException {
    long deadline = System.nanoTime() + AMPLE.toNanos();
    while (true) {
      try {
        Socket socket = new Socket(InetAddress.getLoopbackAddress(), to);
        socket.setSoTimeout(20_000);
        sockets.add(socket);
        return socket;
      } catch (ConnectException e) {
        if (System.nanoTime() > deadline) {
          throw e;
        }
        Thread.sleep(10);
      }
    }
  }

  /** Whether rank 0 has closed the connection, after whatever it may have said. */
  private static boolean isClosedByPeer(Socket socket) throws IOException {
    try {
      InputStream in = socket.getInputStream();
      while (in.read() >= 0) {}
      return true;
    } catch (java.net.SocketTimeoutException e) {
      return false;
    } catch (java.net.SocketException e) {
      return true; // a reset, because it closed with bytes unread
    }
  }

  @ParameterizedTest(name = "ep.seed={0}")
  @MethodSource("io.github.deepep4j.fixtures.Seeds#few")
  void shouldCloseTheConnection_whenBytesAreRandom(long seed) throws Exception {
    SplittableRandom random = new SplittableRandom(seed);
    byte[] garbage = new byte[1 + random.nextInt(5_000)];
    random.nextBytes(garbage);
    if (random.nextBoolean()) {
      // A believable frame around it.
      int bytes = random.nextInt(Math.min(garbage.length, 1_000));
      ByteBuffer.wrap(garbage).putInt(0, bytes);
      garbage[4] = (byte) random.nextInt(12);
    }
    Socket stranger = connect();
    try {
      stranger.getOutputStream().write(garbage);
    } catch (IOException e) {
      assertThat(e).isInstanceOf(java.net.SocketException.class);
    }
    stranger.shutdownOutput();
    assertThat(isClosedByPeer(stranger)).isTrue();
    assertStillForms();
  }

  @ParameterizedTest
  @ValueSource(strings = {"GET / HTTP/1.1\r\n\r\n", "SSH-2.0-client\r\n", "\u0016\u0003\u0001"})
  void shouldCloseTheConnection_whenItSpeaksSomethingElse(String text) throws Exception {
    Socket stranger = connect();
    stranger.getOutputStream().write(text.getBytes(StandardCharsets.ISO_8859_1));
    stranger.shutdownOutput();
    assertThat(isClosedByPeer(stranger)).isTrue();
    assertStillForms();
  }

  @ParameterizedTest
  @ValueSource(
      ints = {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, 1 << 30, Wire.MAX_HANDSHAKE_BYTES + 1})
  void shouldCloseTheConnection_whenALengthIsOutOfBounds(int length) throws Exception {
    Socket stranger = connect();
    new DataOutputStream(stranger.getOutputStream()).writeInt(length);
    stranger.getOutputStream().write(Wire.HELLO);
    assertThat(isClosedByPeer(stranger)).isTrue();
    assertStillForms();
  }

  @Test
  void shouldForm_whenSilentConnectionsPileUp() throws Exception {
    Socket first = connect();
    for (int i = 0; i < 300; i++) {
      Socket silent = connect();
      if (i % 3 == 0) {
        silent.getOutputStream().write(0); // a byte of a header that never comes
      }
    }
    // More than may wait: the oldest had to go.
    assertThat(isClosedByPeer(first)).isTrue();
    assertStillForms();
  }

  @Test
  void shouldCloseTheConnection_whenAHandshakeIsNotFinishedInTime() throws Exception {
    Socket slow = connect();
    long start = System.nanoTime();
    OutputStream out = slow.getOutputStream();
    ByteBuffer hello = ByteBuffer.wrap(hello(1, 2, raw -> raw));
    // A byte now and then keeps no connection open.
    try {
      for (int i = 0; i < 200 && hello.hasRemaining(); i++) {
        out.write(hello.get());
        Thread.sleep(300);
      }
    } catch (IOException e) {
      assertThat(e).isInstanceOf(java.net.SocketException.class);
    }
    assertThat(isClosedByPeer(slow)).isTrue();
    assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(19));
    assertStillForms();
  }

  /** An opening frame, its payload changed. */
  private static byte[] hello(int rank, int size, UnaryOperator<byte[]> change) {
    TcpSettings settings =
        new TcpSettings(rank, size, 0, "127.0.0.1", 1, AMPLE, AMPLE, 16 << 20, SECRET, false);
    byte[] raw = change.apply(Handshake.Opening.of(settings, AMPLE.toNanos()).raw());
    ByteBuffer frame = Wire.frame(Wire.HELLO, raw);
    return Wire.bytes(frame);
  }

  @Test
  void shouldRefuseByName_whenTheProtocolVersionDiffers() throws Exception {
    Socket other = connect();
    other
        .getOutputStream()
        .write(
            hello(
                1,
                2,
                raw -> {
                  ByteBuffer.wrap(raw).putInt(8, 99);
                  return raw;
                }));
    DataInputStream in = new DataInputStream(other.getInputStream());
    byte[] reason = new byte[in.readInt()];
    assertThat(in.readByte()).isEqualTo(Wire.REFUSED);
    in.readFully(reason);
    assertThat(new String(reason, StandardCharsets.UTF_8))
        .startsWith("the protocol version must be 1: 99 (Java ");
    assertThat(isClosedByPeer(other)).isTrue();
    assertStillForms();
  }

  @Test
  void shouldRefuse_whenAProofIsReplayed() throws Exception {
    // What an honest rank 1 said, recorded by a listener in between, is worth nothing later.
    byte[] hello = hello(1, 2, raw -> raw);
    Socket first = connect();
    first.getOutputStream().write(hello);
    byte[] proof = answer(first, hello);
    Socket second = connect();
    second.getOutputStream().write(hello);
    readFrame(second, Wire.CHALLENGE);
    second.getOutputStream().write(proof);
    assertThat(new String(readFrame(second, Wire.REFUSED), StandardCharsets.UTF_8))
        .contains("secret (DEEPEP4J_SECRET) is not rank 0's");
    // The same bytes are right on the connection that they belong to.
    first.getOutputStream().write(proof);
    assertThat(readFrame(first, Wire.WELCOME)).hasSize(32);
    assertThat(readFrame(first, Wire.START)).isEmpty();
    first.close();
    try (TcpGroup zero = rankZero.get(30, TimeUnit.SECONDS)) {
      assertThatThrownBy(zero::barrier)
          .isInstanceOfSatisfying(
              EpException.class, e -> assertThat(e.code()).isEqualTo(EpException.Code.GROUP))
          .hasMessageContaining("rank 1's connection ended without a farewell");
    }
  }

  @Test
  void shouldGiveThePlaceToAnother_whenARankDiesBeforeTheGroupForms() throws Exception {
    int otherPort = FreePort.find();
    CompletableFuture<TcpGroup> zero =
        CompletableFuture.supplyAsync(
            () -> builder(0, 3).port(otherPort).build(), task -> new Thread(task, "zero").start());
    for (int attempt = 0; attempt < 3; attempt++) {
      byte[] hello = hello(1, 3, raw -> raw);
      try (Socket mortal = connect(otherPort)) {
        mortal.getOutputStream().write(hello);
        mortal.getOutputStream().write(answer(mortal, hello));
        assertThat(readFrame(mortal, Wire.WELCOME)).hasSize(32);
      }
    }
    RankThreads.run(
        3,
        rank -> {
          try (TcpGroup group =
              rank == 0
                  ? zero.get(60, TimeUnit.SECONDS)
                  : builder(rank, 3).port(otherPort).build()) {
            group.barrier();
          }
        });
    assertStillForms();
  }

  private static byte[] answer(Socket socket, byte[] hello) throws IOException {
    Handshake.Opening ours =
        Handshake.Opening.read(ByteBuffer.wrap(hello, 5, hello.length - 5).slice());
    Handshake.Opening theirs =
        Handshake.Opening.read(ByteBuffer.wrap(readFrame(socket, Wire.CHALLENGE)));
    TcpSettings settings =
        new TcpSettings(1, 2, 0, "127.0.0.1", 1, AMPLE, AMPLE, 16 << 20, SECRET, false);
    byte[] proof = Handshake.proof(settings, Handshake.Role.MEMBER, ours, theirs);
    // A proof in the other role is another one: rank 0's can't be reflected.
    assertThat(Handshake.proof(settings, Handshake.Role.RANK_ZERO, ours, theirs))
        .isNotEqualTo(proof);
    return Wire.bytes(Wire.frame(Wire.PROOF, proof));
  }

  private static byte[] readFrame(Socket socket, byte type) throws IOException {
    DataInputStream in = new DataInputStream(socket.getInputStream());
    byte[] payload = new byte[in.readInt()];
    assertThat(in.readByte()).isEqualTo(type);
    in.readFully(payload);
    return payload;
  }

  /** A rank that can't join, and why. */
  private record Wrong(TcpGroup.Builder builder, String reason) {}

  @Test
  void shouldRefuseByRuleAndValue_whenARankHasTheWrongParameters() throws Exception {
    List<Wrong> wrong =
        List.of(
            new Wrong(builder(1, 2).secret("guess"), "rank 1's secret (DEEPEP4J_SECRET) is not"),
            new Wrong(
                TcpGroup.builder(1, 2).port(port).timeout(AMPLE),
                "all ranks or none must have a secret (DEEPEP4J_SECRET): rank 0 has one, rank 1 has"
                    + " none"),
            new Wrong(builder(1, 3), "(WORLD_SIZE) must be 2 as on rank 0: 3"),
            new Wrong(builder(2, 3), "(WORLD_SIZE) must be 2 as on rank 0: 3"),
            new Wrong(
                builder(1, 2).maxMessageBytes(77),
                "maxMessageBytes must be 16777216 as on rank 0: 77"));
    for (Wrong one : wrong) {
      assertThat(failure(one.builder()))
          .isInstanceOfSatisfying(
              EpException.class, e -> assertThat(e.code()).isEqualTo(EpException.Code.GROUP))
          .hasMessageContaining("refused rank")
          .hasMessageContaining(one.reason())
          .satisfies(e -> assertThat(String.valueOf(e.getMessage())).doesNotContain(SECRET));
    }
    assertStillForms();
  }

  private static @Nullable Throwable failure(TcpGroup.Builder builder) {
    try {
      builder.build().close();
      return null;
    } catch (RuntimeException e) {
      return e;
    }
  }

  @Test
  void shouldRefuse_whenARankIsOutOfRange() throws Exception {
    // No honest builder makes this one.
    Socket other = connect();
    byte[] hello =
        hello(
            1,
            2,
            raw -> {
              ByteBuffer.wrap(raw).putInt(17, 7);
              return raw;
            });
    other.getOutputStream().write(hello);
    other.getOutputStream().write(answer(other, hello));
    assertThat(new String(readFrame(other, Wire.REFUSED), StandardCharsets.UTF_8))
        .isEqualTo("rank (RANK) must be from 0 to 1: 7");
    assertStillForms();
  }

  @Test
  void shouldRefuseTheSecond_whenARankComesTwice() throws Exception {
    int otherPort = FreePort.find();
    UnaryOperator<TcpGroup.Builder> complete =
        builder -> builder.port(otherPort).secret(SECRET).timeout(AMPLE);
    CountDownLatch refusal = new CountDownLatch(1);
    List<@Nullable Throwable> outcomes =
        RankThreads.outcomes(
            4,
            thread -> {
              // Threads 1 and 3 both say that they are rank 1; rank 2 comes when one is refused.
              int rank = thread == 3 ? 1 : thread;
              if (rank == 2) {
                assertThat(refusal.await(60, TimeUnit.SECONDS)).isTrue();
              }
              try (TcpGroup group = complete.apply(TcpGroup.builder(rank, 3)).build()) {
                group.barrier();
              } catch (EpException e) {
                refusal.countDown();
                throw e;
              }
            });
    assertThat(outcomes.get(0)).isNull();
    assertThat(outcomes.get(2)).isNull();
    Throwable refused = outcomes.get(1) == null ? outcomes.get(3) : outcomes.get(1);
    assertThat(outcomes.get(1) == null || outcomes.get(3) == null).isTrue();
    assertThat(refused)
        .isInstanceOf(EpException.class)
        .hasMessageContaining("each rank (RANK) must be given once: rank 1 has joined already");
    assertStillForms();
  }

  @Test
  void shouldNotJoin_whenTheListenerDoesNotKnowTheSecret() throws Exception {
    // An impostor of rank 0 that welcomes whoever comes, without a proof.
    try (ServerSocket impostor = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      CompletableFuture<String> seen =
          CompletableFuture.supplyAsync(
              () -> {
                try (Socket victim = impostor.accept()) {
                  String hello =
                      new String(readFrame(victim, Wire.HELLO), StandardCharsets.ISO_8859_1);
                  TcpSettings none =
                      new TcpSettings(0, 2, 0, "127.0.0.1", 1, AMPLE, AMPLE, 16 << 20, null, false);
                  victim
                      .getOutputStream()
                      .write(
                          Wire.bytes(
                              Wire.frame(Wire.CHALLENGE, Handshake.Opening.of(none, 0).raw())));
                  String proof =
                      new String(readFrame(victim, Wire.PROOF), StandardCharsets.ISO_8859_1);
                  victim.getOutputStream().write(Wire.bytes(Wire.frame(Wire.WELCOME, new byte[0])));
                  victim.getOutputStream().write(Wire.bytes(Wire.frame(Wire.START, new byte[0])));
                  return hello + proof;
                } catch (IOException e) {
                  throw new java.io.UncheckedIOException(e);
                }
              });
      assertThat(
              failure(
                  TcpGroup.builder(1, 2)
                      .port(impostor.getLocalPort())
                      .secret(SECRET)
                      .timeout(Duration.ofSeconds(2))))
          .isInstanceOf(EpException.class);
      assertThat(seen.get(20, TimeUnit.SECONDS)).doesNotContain(SECRET);
    }
    assertStillForms();
  }
}
