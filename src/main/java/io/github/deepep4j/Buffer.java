package io.github.deepep4j;

import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.backend.BackendBuffer;
import io.github.deepep4j.internal.backend.BackendHandle;
import io.github.deepep4j.internal.backend.Backends;
import io.github.deepep4j.internal.backend.CallRules;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * One rank's end of an expert-parallel group: sends token rows to the ranks of their experts and
 * sums what the experts return.
 *
 * <pre>{@code
 * try (Buffer buffer = Buffer.create(group, BufferOptions.of(16, 1024, 512))) {
 *   try (DispatchResult rows = buffer.dispatch(x, topkIdx, topkWeights);
 *        DispatchHandle handle = rows.handle()) {
 *     Tensor y = experts.apply(rows.x(), rows.topkIdx(), rows.topkWeights());
 *     try (CombineResult sums = buffer.combine(y, handle)) {
 *       next(sums.combined());
 *     }
 *   }
 * }
 * }</pre>
 *
 * <p>Creation and the operations marked collective are called by all ranks in the same order. The
 * calls of one buffer form one sequence: it is used by one thread at a time, and a second thread
 * gets {@link IllegalStateException}. On the CPU backend every call runs on its caller's thread and
 * returns complete, or with its sends issued in the hook form.
 *
 * <p>Failures common to the collective operations: {@link IllegalArgumentException} for a rule that
 * the host can check, before the collective is entered; {@link IllegalStateException} when the
 * buffer is closed, busy, or has no free region or handle (the message names the open results);
 * {@link io.github.deepep4j.error.EpTimeoutException} when a rank is silent past the deadline;
 * {@link io.github.deepep4j.error.EpMaskedException} when this rank was masked; {@link
 * io.github.deepep4j.error.EpException} with code {@code MISMATCH} when ranks call different things
 * (the buffer has then failed), {@code REFUSED} when a rank's routing names an expert that does not
 * exist or one twice in a token, {@code INTERRUPTED}, or {@code ABORTED} when a peer has closed its
 * buffer.
 */
public final class Buffer implements AutoCloseable {
  private final BackendBuffer backend;
  private final CallRules rules;
  private final Device device;
  private final MeasuredTuning tuning;
  private final AtomicReference<@Nullable Thread> user = new AtomicReference<>();
  private volatile boolean closed;

  private Buffer(Backends.Created created, CallRules rules) {
    this.backend = created.buffer();
    this.rules = rules;
    this.device = created.device();
    this.tuning = created.tuning();
  }

  /** What {@link #builder} collects. Not thread-safe. */
  public static final class Builder {
    private final ProcessGroup group;
    private @Nullable BufferOptions options;
    private @Nullable Device device;
    private @Nullable Transport transport;

    private Builder(ProcessGroup group) {
      this.group = Objects.requireNonNull(group, "group");
    }

    /**
     * What the buffer is made for.
     *
     * @param value agreed by all ranks
     * @return this
     */
    public Builder options(BufferOptions value) {
      options = Objects.requireNonNull(value, "options");
      return this;
    }

    /**
     * Asks for one device; without it, CUDA is taken where all ranks have it, else the CPU, unless
     * the system property {@code deepep4j.backend} says {@code cpu} or {@code cuda}.
     *
     * @param value of the same kind on all ranks
     * @return this
     */
    public Builder device(Device value) {
      device = Objects.requireNonNull(value, "device");
      return this;
    }

    /**
     * How ranks reach each other's memory, instead of what the options say.
     *
     * @param value the same on all ranks
     * @return this
     */
    public Builder transport(Transport value) {
      transport = Objects.requireNonNull(value, "transport");
      return this;
    }

    /**
     * Makes this rank's end. Collective and blocking.
     *
     * @return the buffer
     * @throws IllegalArgumentException if no options were given, or they do not fit the group
     * @throws io.github.deepep4j.error.BackendUnavailableException on all ranks if the device asked
     *     for, or NVSHMEM, does not work on one, naming what was tried
     * @throws io.github.deepep4j.error.EpException {@code MISMATCH} on all ranks if options or
     *     kinds of device differ; {@code GROUP} or {@code TIMEOUT} if the group failed
     */
    public Buffer build() {
      if (options == null) {
        throw new IllegalArgumentException("options(...) must be given before build()");
      }
      BufferOptions chosen = transport == null ? options : options.transport(transport);
      Backends.Created created = Backends.create(group, chosen, device);
      return new Buffer(created, new CallRules(chosen, group.size(), created.device()));
    }
  }

  /**
   * Starts the creation of a buffer.
   *
   * @param group the members; stays open at least until {@link Builder#build()} returns
   * @return a builder
   */
  public static Builder builder(ProcessGroup group) {
    return new Builder(group);
  }

  /**
   * Makes this rank's end of a buffer on the automatically chosen device. Collective and blocking.
   *
   * @param group the members
   * @param options agreed by all ranks
   * @return the buffer
   * @throws io.github.deepep4j.error.EpException as {@link Builder#build()} does
   */
  public static Buffer create(ProcessGroup group, BufferOptions options) {
    return builder(group).options(options).build();
  }

  /**
   * Counts where a routing sends this rank's tokens, and checks it. Local; blocks until the counts
   * are complete, behind this buffer's earlier calls.
   *
   * @param topkIdx {@code [T, K]} INT32 or INT64, contiguous, on the buffer's device; −1 for none
   * @return counts in new memory that the caller owns
   * @throws IllegalArgumentException if shape, dtype or device break a rule
   * @throws io.github.deepep4j.error.EpException {@code REFUSED} if an index is out of range or
   *     twice in a token
   */
  public DispatchLayout dispatchLayout(Tensor topkIdx) {
    rules.checkRouting(topkIdx, null, -1);
    return exclusively("dispatchLayout", () -> backend.dispatchLayout(topkIdx));
  }

  /**
   * Dispatch with default options: rank-major, exact, borrowed.
   *
   * @param x {@code [T, H]} BF16
   * @param topkIdx {@code [T, K]} INT32 or INT64
   * @param topkWeights FLOAT32 {@code [T, K]}, or null
   * @return the rows received
   * @see #dispatch(Tensor, Tensor, Tensor, DispatchOptions)
   */
  public DispatchResult dispatch(Tensor x, Tensor topkIdx, @Nullable Tensor topkWeights) {
    return dispatch(x, topkIdx, topkWeights, DispatchOptions.defaults());
  }

  /**
   * Sends each token's row to the ranks of its experts. Collective. The exact form returns when the
   * number of rows is known on the host, the bounded form without any wait of the host; in the hook
   * form the caller completes it by {@link DispatchResult#receive()}.
   *
   * @param x {@code [T, H]} BF16, or FP8 E4M3 with or without {@link DispatchOptions#scales};
   *     contiguous, on the buffer's device; rows a multiple of 16 bytes and at most the buffer's; T
   *     ≤ {@link BufferOptions#maxTokensPerRank()}, may differ per rank and be 0
   * @param topkIdx {@code [T, K]} INT32 or INT64, contiguous; K ≤ {@link BufferOptions#maxTopk()};
   *     values from −1 (none) to numExperts − 1, no expert twice in a token; dtype and K the same
   *     on all ranks
   * @param topkWeights FLOAT32 {@code [T, K]}, contiguous; null on all ranks or on none
   * @param options the call's options
   * @return the rows received; borrowed until closed unless the options ask for an owned result
   * @throws IllegalArgumentException if a shape, dtype, layout or option breaks a rule
   * @throws IllegalStateException if no region or handle is free, naming the open results
   * @throws io.github.deepep4j.error.EpCapacityException on every rank if a rank would receive more
   *     rows than its capacity; nothing is sent and the buffer stays usable (bounded: thrown by
   *     {@link #check()} or the next call)
   * @throws io.github.deepep4j.error.EpException as in the class description
   */
  public DispatchResult dispatch(
      Tensor x, Tensor topkIdx, @Nullable Tensor topkWeights, DispatchOptions options) {
    rules.checkDispatch(x, topkIdx, topkWeights, options);
    return exclusively(
        "dispatch",
        () -> {
          var sent = backend.dispatch(new Requests.Dispatch(x, topkIdx, topkWeights, options));
          return new DispatchResult(this, sent, new DispatchHandle(this, sent.handle()));
        });
  }

  /**
   * Sends rows over the routing of an earlier dispatch: the same rows in the same places, without
   * counting and without any wait of the host for counts. Collective. The backward of combine.
   *
   * @param x {@code [T, H]} with the T of the handle; H and dtype may differ from the first call
   * @param handle an open handle of this buffer, of the same dispatch on all ranks
   * @param options the call's options; order, alignment and bound come from the handle
   * @return a result with {@link DispatchResult#x()} and, for FP8, {@link DispatchResult#scales()}
   * @throws IllegalArgumentException if a shape, dtype or option breaks a rule, or the handle is of
   *     another buffer
   * @throws IllegalStateException if the handle is closed, or no region is free
   * @throws io.github.deepep4j.error.EpException as in the class description
   */
  public DispatchResult dispatch(Tensor x, DispatchHandle handle, DispatchOptions options) {
    BackendHandle routing = handle.require(this, "dispatch");
    rules.checkCachedDispatch(x, routing, options);
    return exclusively(
        "cached dispatch",
        () ->
            new DispatchResult(
                this, backend.dispatch(new Requests.CachedDispatch(x, routing, options)), handle));
  }

  /**
   * Combine with default options.
   *
   * @param y {@code [N, H]} BF16 in dispatch order
   * @param handle the dispatch's handle
   * @return the sums
   * @see #combine(Tensor, DispatchHandle, CombineOptions)
   */
  public CombineResult combine(Tensor y, DispatchHandle handle) {
    return combine(y, handle, CombineOptions.defaults());
  }

  /**
   * Returns the experts' rows to the tokens' ranks and sums them there in float32, rounded once to
   * BF16: rank-major over destination ranks ascending, expert-major over the top-k slots ascending.
   * A token sent nowhere yields its bias, else 0. Collective. The backward of dispatch.
   *
   * <p>With two or more nodes ({@link BufferOptions#ranksPerNode(int)}) the sum has two levels, and
   * its result depends on the nodes: each node that has rows of the token, the own one included,
   * sums them from +0 in the same order (rank-major by rank, expert-major by top-k slot, weighted
   * or not) and rounds to BF16; then bias and nodes ascending are summed in float32 and rounded
   * again. So expert-major results depend on which experts share a node, and not on how many ranks
   * a node has. Weights that go back are summed in the same two levels but never rounded below
   * float32; expert-major they come from one row each.
   *
   * @param y {@code [N, H]} BF16, contiguous, one row for each row that the dispatch delivered,
   *     padding included; read in place if it is what {@link #combineInput} returned
   * @param handle an open handle of this buffer, of the same dispatch on all ranks
   * @param options the call's options
   * @return the sums {@code [T, H]}
   * @throws IllegalArgumentException if a shape, dtype or option breaks a rule ({@code weighted()}
   *     on a rank-major handle among them), or the handle is of another buffer
   * @throws IllegalStateException if the handle is closed, or no region for {@code y} is free
   * @throws io.github.deepep4j.error.EpException as in the class description
   */
  public CombineResult combine(Tensor y, DispatchHandle handle, CombineOptions options) {
    BackendHandle routing = handle.require(this, "combine");
    rules.checkCombine(y, routing, options);
    return exclusively(
        "combine",
        () -> new CombineResult(this, backend.combine(new Requests.Combine(y, routing, options))));
  }

  /**
   * Memory in which the next combine reads {@code y} in place. Local; blocks until the last readers
   * of a region have finished.
   *
   * @param handle the handle of that combine
   * @param stream the stream that will write it; null for the buffer's own
   * @return BF16 {@code [N, H]} with the dispatch's H, contents undefined, valid until its combine
   *     returns
   * @throws IllegalArgumentException if the handle is of another buffer, or its dispatch had FP8
   *     rows of more elements than the buffer's hidden size
   * @throws IllegalStateException if the handle is closed or every region is handed out
   * @throws io.github.deepep4j.error.EpTimeoutException if a reader is silent past the deadline
   */
  public Tensor combineInput(DispatchHandle handle, @Nullable Stream stream) {
    BackendHandle routing = handle.require(this, "combineInput");
    rules.checkCombineInput(routing);
    return exclusively("combineInput", () -> backend.combineInput(routing, stream));
  }

  /**
   * Low-latency dispatch with default options.
   *
   * @param x {@code [T, H]} BF16
   * @param topkIdx {@code [T, K]} INT32 or INT64
   * @return the rows received
   * @see #lowLatencyDispatch(Tensor, Tensor, LowLatencyDispatchOptions)
   */
  public LowLatencyDispatch lowLatencyDispatch(Tensor x, Tensor topkIdx) {
    return lowLatencyDispatch(x, topkIdx, LowLatencyDispatchOptions.defaults());
  }

  /**
   * Sends one copy of each token's row to each of its experts, in fixed-capacity memory: no counts
   * are exchanged before rows travel, and the host waits for none. Collective. Routing that is
   * found bad on a GPU gives an empty result, and {@code event().synchronize()}, {@link #check()}
   * or the next call throws; on the CPU this call does, or its {@code receive()}.
   *
   * @param x {@code [T, H]} BF16, contiguous, H the buffer's hidden size; T ≤ {@link
   *     BufferOptions#maxTokensPerRank()}, may differ per rank and be 0
   * @param topkIdx {@code [T, K]} INT32 or INT64, contiguous, as in dispatch
   * @param options the call's options
   * @return rows packed per local expert; borrowed until closed
   * @throws IllegalArgumentException if a shape, dtype or option breaks a rule, or the buffer was
   *     made without {@link BufferOptions#lowLatency()}
   * @throws IllegalStateException if no region is free, naming the open results
   * @throws io.github.deepep4j.error.EpException as in the class description
   */
  public LowLatencyDispatch lowLatencyDispatch(
      Tensor x, Tensor topkIdx, LowLatencyDispatchOptions options) {
    rules.checkLowLatencyDispatch(x, topkIdx, options);
    return exclusively(
        "lowLatencyDispatch",
        () -> {
          var sent =
              backend.lowLatencyDispatch(new Requests.LowLatencyDispatch(x, topkIdx, options));
          return new LowLatencyDispatch(this, sent, new LowLatencyHandle(this, sent.handle()));
        });
  }

  /**
   * Low-latency combine with default options.
   *
   * @param y {@code [localExperts, n·M, H]} BF16
   * @param topkWeights FLOAT32 {@code [T, K]}
   * @param handle the dispatch's handle
   * @return the sums
   * @see #lowLatencyCombine(Tensor, Tensor, LowLatencyHandle, LowLatencyCombineOptions)
   */
  public LowLatencyCombine lowLatencyCombine(
      Tensor y, Tensor topkWeights, LowLatencyHandle handle) {
    return lowLatencyCombine(y, topkWeights, handle, LowLatencyCombineOptions.defaults());
  }

  /**
   * Returns the experts' rows and sums them with the gate weights, by float32 fused multiply-add in
   * top-k order, rounded once to BF16. Collective.
   *
   * @param y {@code [localExperts, n·M, H]} BF16, contiguous, in dispatch order; rows past an
   *     expert's count are ignored; read in place if it is what {@link #lowLatencyCombineInput}
   *     returned
   * @param topkWeights FLOAT32 {@code [T, K]}, contiguous: this rank's gate weights
   * @param handle the handle of an open dispatch of this buffer
   * @param options the call's options
   * @return the sums {@code [T, H]}
   * @throws IllegalArgumentException if a shape, dtype or option breaks a rule, or the handle is of
   *     another buffer
   * @throws IllegalStateException if the handle's result is closed, or no region is free
   * @throws io.github.deepep4j.error.EpException as in the class description
   */
  public LowLatencyCombine lowLatencyCombine(
      Tensor y, Tensor topkWeights, LowLatencyHandle handle, LowLatencyCombineOptions options) {
    BackendHandle routing = handle.require(this, "lowLatencyCombine");
    rules.checkLowLatencyCombine(y, topkWeights, routing, options);
    return exclusively(
        "lowLatencyCombine",
        () ->
            new LowLatencyCombine(
                this,
                backend.lowLatencyCombine(
                    new Requests.LowLatencyCombine(y, topkWeights, routing, options))));
  }

  /**
   * Memory in which the next low-latency combine reads {@code y} in place. Local; blocks until the
   * last readers of a region have finished.
   *
   * @param handle the handle of that combine
   * @param stream the stream that will write it; null for the buffer's own
   * @return BF16 {@code [localExperts, n·M, H]}, contents undefined, valid until its combine
   *     returns
   * @throws IllegalArgumentException if the handle is of another buffer
   * @throws IllegalStateException if the handle's result is closed or every region is handed out
   * @throws io.github.deepep4j.error.EpTimeoutException if a reader is silent past the deadline
   */
  public Tensor lowLatencyCombineInput(LowLatencyHandle handle, @Nullable Stream stream) {
    BackendHandle routing = handle.require(this, "lowLatencyCombineInput");
    return exclusively(
        "lowLatencyCombineInput", () -> backend.lowLatencyCombineInput(routing, stream));
  }

  /**
   * Stops sending to and waiting for a rank. Local: other ranks' views may differ without harm. The
   * masked rank gets {@link io.github.deepep4j.error.EpMaskedException} at its next call, or in one
   * where it waits; a rank that meets its departure then masks it too, whatever its policy. Rows
   * that it had announced and not sent keep their place with index −1, weight 0 and zero bytes;
   * combine adds nothing for it.
   *
   * <p>With {@link BufferOptions#ranksPerNode} a row crosses the network by way of the rank that
   * has the sender's number on the other node, and sums come back by it. While that rank is masked
   * they are lost like its own.
   *
   * @param rank another rank
   * @throws IllegalArgumentException if it is this rank or none of the group's
   */
  public void mask(int rank) {
    rules.checkPeer(rank);
    exclusively(
        "mask",
        () -> {
          backend.mask(rank);
          return rank;
        });
  }

  /**
   * Brings a masked rank back. Collective over that rank, which calls it with its own number, and
   * all ranks that are not masked. No result of the returning rank may be open. If it fails,
   * nothing has changed and the buffer is as usable as before.
   *
   * @param rank the rank to bring back
   * @throws IllegalArgumentException if it is none of the group's
   * @throws IllegalStateException if this rank has open results
   * @throws io.github.deepep4j.error.EpTimeoutException if a rank does not come before the deadline
   */
  public void unmask(int rank) {
    rules.checkRank(rank);
    exclusively(
        "unmask",
        () -> {
          backend.unmask(rank);
          return rank;
        });
  }

  /**
   * Ranks that this one has masked, by call or after a timeout. Local.
   *
   * @return an immutable set
   */
  public Set<Integer> maskedRanks() {
    return exclusively("maskedRanks", backend::maskedRanks);
  }

  /**
   * Throws what the device or a peer has reported and nobody has been told yet: a bounded dispatch
   * over its capacity, a peer's failure. Local and non-blocking.
   *
   * @throws io.github.deepep4j.error.EpException the report
   */
  public void check() {
    exclusively(
        "check",
        () -> {
          backend.check();
          return this;
        });
  }

  /** Loads and touches what the first calls would otherwise wait for. Local. */
  public void warmUp() {
    exclusively(
        "warmUp",
        () -> {
          backend.warmUp();
          return this;
        });
  }

  /**
   * Rows, bytes and waits per peer, and what is open. Local.
   *
   * @return a snapshot
   */
  public Statistics statistics() {
    return exclusively("statistics", backend::statistics);
  }

  /**
   * The tuning in use, and what a {@link MeasuredTuning} must have been measured on to be used
   * here.
   *
   * @return device and group of this buffer, and its configuration
   */
  public MeasuredTuning tuning() {
    return tuning;
  }

  /**
   * Where this buffer's rows live.
   *
   * @return the device
   */
  public Device device() {
    return device;
  }

  /**
   * The stream that calls run on which name none. Work that makes their inputs or reads their
   * results may be enqueued on it.
   *
   * @return the buffer's own stream, {@link Stream#cpu()} on the CPU; ends with the buffer
   */
  public Stream stream() {
    return exclusively("stream", backend::stream);
  }

  /**
   * Whether the buffer was closed.
   *
   * @return true after {@link #close()}
   */
  public boolean isClosed() {
    return closed;
  }

  /**
   * Ends this rank's part: open results and handles become unusable, peers that wait for this rank
   * are told. Memory that peers still map is freed when the last of them has closed. Idempotent.
   * Local, and never waits for another rank, but over {@link Transport#NVSHMEM}, where it is
   * collective and waits for the others at most for the buffer's deadline.
   *
   * @throws IllegalStateException if another thread is inside a call of this buffer
   */
  @Override
  public void close() {
    if (closed) {
      return;
    }
    exclusively(
        "close",
        () -> {
          closed = true;
          backend.close();
          return this;
        });
  }

  /** Runs one call; refuses a second thread and a closed buffer by name. */
  <T> T exclusively(String operation, Supplier<T> call) {
    Thread current = Thread.currentThread();
    Thread other = user.compareAndExchange(null, current);
    if (other != null) {
      throw new IllegalStateException(
          operation
              + (other == current
                  ? " was called from inside another call of the same buffer"
                  : " on thread "
                      + current.getName()
                      + " while thread "
                      + other.getName()
                      + " is inside a call: a buffer is used by one thread at a time"));
    }
    try {
      if (closed) {
        throw new IllegalStateException(operation + " on a closed buffer");
      }
      return call.get();
    } finally {
      user.set(null);
    }
  }
}
