package io.github.deepep4j.internal.cpu;

import io.github.deepep4j.CallOptions;
import io.github.deepep4j.Event;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.BackendCombine;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.lang.invoke.VarHandle;
import org.jspecify.annotations.Nullable;

/**
 * A combine whose outputs are published. Receiving waits for every unmasked peer's outputs, sums
 * this rank's tokens from them, and tells each peer that its region has been read.
 */
final class PendingCombine implements BackendCombine, Tensor.Lifetime {
  private final RankContext context;
  private final Call call;
  private final Summation summation;
  private final Tensor combined;
  private final @Nullable Memory rowMemory;
  private final @Nullable Tensor weights;
  private final @Nullable Memory weightMemory;
  private boolean received;
  private boolean closed;

  /** Sums this rank's tokens from the peers' outputs. */
  interface Summation {
    /**
     * Sums.
     *
     * @param ready where each peer's outputs lie; null for a masked one
     * @param combined receives {@code [T, H]}
     * @param weights receives {@code [T, K]}, or null
     */
    void run(Messages.@Nullable Ready[] ready, Tensor combined, @Nullable Tensor weights);
  }

  /**
   * What was entered.
   *
   * @param descriptor what the ranks agreed on
   * @param options the call's options
   * @param outputs where outputs are
   * @param lease this rank's own outputs
   * @param traffic counters of the mode
   */
  record Call(
      CallDescriptor descriptor,
      CallOptions<?> options,
      OutputRegions outputs,
      RegionPool.Lease lease,
      Traffic.Mode traffic) {}

  /**
   * Makes the pending result.
   *
   * @param context the rank
   * @param call what was entered
   * @param shape where the result goes
   * @param summation sums the tokens
   */
  PendingCombine(RankContext context, Call call, Shape shape, Summation summation) {
    this.context = context;
    this.call = call;
    this.summation = summation;
    long rowBytes = 2L * shape.numTokens() * shape.hidden();
    rowMemory = shape.into() == null ? context.results.take(rowBytes) : null;
    combined =
        rowMemory == null
            ? java.util.Objects.requireNonNull(shape.into())
            : own(rowMemory, DType.BF16, shape.numTokens(), shape.hidden());
    weightMemory =
        shape.numWeights() > 0
            ? context.results.take(4L * shape.numTokens() * shape.numWeights())
            : null;
    weights =
        weightMemory == null
            ? null
            : own(weightMemory, DType.FLOAT32, shape.numTokens(), shape.numWeights());
  }

  /**
   * Shape of the result.
   *
   * @param numTokens T
   * @param hidden H
   * @param numWeights K, or 0 where no weights come back
   * @param into the caller's tensor, or null
   */
  record Shape(int numTokens, int hidden, int numWeights, @Nullable Tensor into) {}

  private Tensor own(Memory memory, DType dtype, long... shape) {
    return Tensor.ofAddress(memory.address(), dtype, Device.cpu(), this, shape);
  }

  @Override
  public void receive() {
    if (received) {
      return;
    }
    context.startReceive(describe(), call.options());
    long epoch = call.lease().tag;
    int[] slots = new int[context.numRanks];
    Messages.@Nullable Ready[] ready = new Messages.Ready[context.numRanks];
    for (int peer = 0; peer < context.numRanks; peer++) {
      int source = peer;
      if (context.awaitCall(source, epoch, call.descriptor())
          && context.waits.await(
              source, Stage.OUTPUT, () -> call.outputs().readySlot(source, epoch) >= 0)) {
        slots[source] = call.outputs().readySlot(source, epoch);
        ready[source] = context.messages.readReady(source, slots[source]);
      }
    }
    summation.run(ready, combined, weights);
    // A peer that has masked this rank may have written anew to what was just read.
    VarHandle.acquireFence();
    context.waits.checkMaskedHere();
    received = true;
    for (int peer = 0; peer < context.numRanks; peer++) {
      if (ready[peer] != null) {
        context.messages.publishRead(peer, slots[peer], epoch);
      }
    }
    call.outputs().release(call.lease());
  }

  @Override
  public boolean isReceived() {
    return received;
  }

  @Override
  public Event event() {
    return Event.completed();
  }

  @Override
  public void close(@Nullable Stream stream) {
    if (closed) {
      return;
    }
    try {
      if (context.canReceive()) {
        receive();
      }
    } finally {
      discard();
    }
  }

  @Override
  public void discard() {
    if (closed) {
      return;
    }
    closed = true;
    if (!received) {
      call.outputs().release(call.lease());
    }
    give(rowMemory);
    give(weightMemory);
  }

  private void give(@Nullable Memory memory) {
    if (memory != null) {
      context.results.give(memory);
    }
  }

  @Override
  public boolean isClosed() {
    return closed;
  }

  @Override
  public void checkOpen() {
    if (closed) {
      throw new IllegalStateException("the tensor is of a closed result: " + describe());
    }
  }

  @Override
  public String describe() {
    return call.descriptor().operation().text + " #" + call.lease().tag;
  }

  @Override
  public Tensor combined() {
    return combined;
  }

  @Override
  public @Nullable Tensor topkWeights() {
    return weights;
  }
}
