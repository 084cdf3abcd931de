package io.github.deepep4j.group;

import io.github.deepep4j.error.EpException;
import java.io.IOException;
import java.time.Duration;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A group whose ranks are processes, on one machine or several. Rank 0 listens at an address that
 * all ranks know, the others connect to it, and every exchange goes through it; dispatch and
 * combine never do.
 *
 * <pre>{@code
 * try (ProcessGroup group = TcpGroup.fromEnvironment(); // as set by scripts/launch.sh, torchrun, …
 *     Buffer buffer = Buffer.create(group, options)) {
 *   train(group.rank(), buffer);
 * }
 * }</pre>
 *
 * <p>Exchanges are collective and blocking, as {@link ProcessGroup} says. Each has the group's
 * timeout as its deadline, and 2 s more where rank 0 itself is silent: until then its verdict is
 * awaited, which names the same culprit on every rank. A rank that dies is reported to all others
 * by name as soon as its connection ends. Rank 0 carries the exchanges, so the group ends with it.
 *
 * <p><b>Who may join.</b> With a secret, each rank and rank 0 prove to each other that they know it
 * (HMAC-SHA256 over nonces of both, rank and size); the secret is never sent. It should be long and
 * random: whoever sees the connection can try words on it. What follows is neither encrypted nor
 * authenticated frame by frame: use it inside a network that you trust. Without a secret rank 0
 * listens on the loopback interface only, unless told otherwise. Strangers, silent ones included,
 * don't keep a group from forming.
 *
 * <p>Used by one thread at a time; {@link #abort} and {@link #close} may be called from any.
 */
public final class TcpGroup implements ProcessGroup {
  private static final Duration DEFAULT_TIMEOUT = Duration.ofSeconds(30);
  private static final int DEFAULT_MAX_MESSAGE_BYTES = 16 << 20;

  private final TcpSettings settings;
  private final TcpEnd end;

  private TcpGroup(TcpSettings settings, TcpEnd end) {
    this.settings = settings;
    this.end = end;
  }

  /**
   * Joins the group that the launcher's variables describe, as {@link #environment()} reads them.
   * Collective and blocking, for at most 30 s.
   *
   * @return this rank's end
   * @throws IllegalArgumentException if a variable is missing or breaks a rule, naming it
   * @throws io.github.deepep4j.error.EpTimeoutException if a rank did not come in time
   * @throws EpException as {@link Builder#build()} does
   */
  public static TcpGroup fromEnvironment() {
    return environment().build();
  }

  /**
   * Reads the variables that launchers set: {@code RANK}, {@code WORLD_SIZE}, {@code LOCAL_RANK}
   * (the rank if absent), {@code MASTER_ADDR} (loopback if absent), {@code MASTER_PORT}; and ours:
   * {@code DEEPEP4J_SECRET}, and {@code DEEPEP4J_LISTEN_ANY} ({@code 1} or {@code 0}). Local.
   *
   * @return a builder with their values, for changes
   * @throws IllegalArgumentException if a variable is missing or is not what it must be, naming it
   */
  public static Builder environment() {
    return environment(System.getenv());
  }

  /** {@link #environment()} from these variables. */
  static Builder environment(Map<String, String> variables) {
    int rank = number(variables, "RANK", null);
    int size = number(variables, "WORLD_SIZE", null);
    Builder builder =
        builder(rank, size)
            .localRank(number(variables, "LOCAL_RANK", rank))
            .address(variables.getOrDefault("MASTER_ADDR", Builder.LOOPBACK))
            .port(number(variables, "MASTER_PORT", size == 1 ? 0 : null));
    String secret = variables.get("DEEPEP4J_SECRET");
    if (secret != null) {
      builder.secret(secret);
    }
    String any = variables.getOrDefault("DEEPEP4J_LISTEN_ANY", "0");
    if (any.equals("1")) {
      builder.listenBeyondLoopback();
    } else if (!any.equals("0")) {
      throw new IllegalArgumentException("DEEPEP4J_LISTEN_ANY must be 0 or 1: " + any);
    }
    return builder;
  }

  private static int number(
      Map<String, String> variables, String name, @Nullable Integer fallback) {
    String text = variables.get(name);
    if (text == null && fallback != null) {
      return fallback;
    }
    if (text == null) {
      throw new IllegalArgumentException(
          "the environment variable " + name + " must be set: launchers and scripts/launch.sh do");
    }
    try {
      return Integer.parseInt(text.strip());
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "the environment variable " + name + " must be an integer: '" + text + "'", e);
    }
  }

  /**
   * Starts with explicit values. Local.
   *
   * @param rank this member, from 0 to size − 1
   * @param size n ≥ 1
   * @return a builder
   */
  public static Builder builder(int rank, int size) {
    return new Builder(rank, size);
  }

  /** What a group is formed from. Not thread-safe. */
  public static final class Builder {
    private static final String LOOPBACK = "127.0.0.1";

    private final int rank;
    private final int size;
    private int localRank;
    private String address = LOOPBACK;
    private int port;
    private Duration timeout = DEFAULT_TIMEOUT;
    private @Nullable Duration formingTimeout;
    private int maxMessageBytes = DEFAULT_MAX_MESSAGE_BYTES;
    private @Nullable String secret;
    private boolean beyondLoopback;

    private Builder(int rank, int size) {
      this.rank = rank;
      this.size = size;
      this.localRank = rank;
    }

    /**
     * Index on the machine, for {@link TcpGroup#localRank()}; the rank unless given.
     *
     * @param value ≥ 0
     * @return this
     */
    public Builder localRank(int value) {
      localRank = value;
      return this;
    }

    /**
     * Where rank 0 is found; {@code 127.0.0.1} unless given.
     *
     * @param value a host name or address
     * @return this
     */
    public Builder address(String value) {
      address = Objects.requireNonNull(value, "address");
      return this;
    }

    /**
     * The port on which rank 0 listens until the group has formed. Must be given if there is more
     * than one rank.
     *
     * @param value from 1 to 65535
     * @return this
     */
    public Builder port(int value) {
      port = value;
      return this;
    }

    /**
     * Deadline of each exchange; 30 s unless given. May differ between ranks: the shortest counts
     * for all that wait.
     *
     * @param value more than zero
     * @return this
     */
    public Builder timeout(Duration value) {
      timeout = Objects.requireNonNull(value, "timeout");
      return this;
    }

    /**
     * Deadline of forming the group, where ranks start at different times; that of an exchange
     * unless given. May differ between ranks: the shortest counts for all that wait.
     *
     * @param value more than zero
     * @return this
     */
    public Builder formingTimeout(Duration value) {
      formingTimeout = Objects.requireNonNull(value, "formingTimeout");
      return this;
    }

    /**
     * The longest contribution of one rank to an exchange, 16 MiB unless given; the same on all
     * ranks. Nothing longer is sent, and no memory is reserved for more by who receives.
     *
     * @param value from 0 to 2^30
     * @return this
     */
    public Builder maxMessageBytes(int value) {
      maxMessageBytes = value;
      return this;
    }

    /**
     * What all ranks know and nobody else does.
     *
     * @param value long and random, not empty
     * @return this
     */
    public Builder secret(String value) {
      secret = Objects.requireNonNull(value, "secret");
      return this;
    }

    /**
     * Lets rank 0 listen on every interface even without a secret: whoever reaches the port may
     * then join.
     *
     * @return this
     */
    public Builder listenBeyondLoopback() {
      beyondLoopback = true;
      return this;
    }

    /**
     * Joins the group. Collective and blocking: returns when every rank has joined.
     *
     * @return this rank's end
     * @throws IllegalArgumentException if a value breaks a rule, also if there is no secret and the
     *     address is not a loopback address
     * @throws io.github.deepep4j.error.EpTimeoutException if a rank did not come in time; on rank 0
     *     the message names all that are missing, and who was refused
     * @throws EpException {@code GROUP} if rank 0 can't listen, or refuses this rank because of its
     *     secret, rank, size, message size or version, naming the rule and the value; {@code
     *     ABORTED} if another rank gave up; {@code INTERRUPTED} if the thread was interrupted
     */
    public TcpGroup build() {
      TcpSettings settings =
          new TcpSettings(
              rank,
              size,
              localRank,
              address,
              port,
              formingTimeout == null ? timeout : formingTimeout,
              timeout,
              maxMessageBytes,
              secret,
              beyondLoopback);
      settings.checkReach();
      try {
        TcpEnd end = rank == 0 ? new TcpHub(settings) : new TcpSpoke(settings);
        end.form();
        return new TcpGroup(settings, end);
      } catch (IOException e) {
        throw new EpException(
            EpException.Code.GROUP, rank, TcpEnd.FORMING, "no network: " + e.getMessage(), e);
      }
    }
  }

  @Override
  public int rank() {
    return settings.rank();
  }

  @Override
  public int size() {
    return settings.size();
  }

  /**
   * Index among the ranks of this machine, as the launcher gave it: which device to take.
   *
   * @return ≥ 0; the rank if nobody said otherwise
   */
  public int localRank() {
    return settings.localRank();
  }

  @Override
  public byte[][] allGather(byte[] bytes) {
    if (bytes.length > settings.maxMessageBytes()) {
      throw new IllegalArgumentException(
          "a message may have " + settings.maxMessageBytes() + " bytes: " + bytes.length);
    }
    return end.exchange(bytes.clone());
  }

  @Override
  public void abort(String reason) {
    end.abort(Objects.requireNonNull(reason, "reason"));
  }

  @Override
  public void close() {
    end.close();
  }

  @Override
  public String toString() {
    return "TcpGroup(" + settings + ")";
  }
}
