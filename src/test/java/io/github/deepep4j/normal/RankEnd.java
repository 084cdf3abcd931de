package io.github.deepep4j.normal;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.fixtures.Expect;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.RankInput;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** One rank's end of a buffer under test: runs its part of a round and checks every byte. */
final class RankEnd {
  /** What a rank does. */
  interface Body {
    void run(RankEnd end) throws Exception;
  }

  final int rank;
  final Buffer buffer;

  RankEnd(int rank, Buffer buffer) {
    this.rank = rank;
    this.buffer = buffer;
  }

  /** Runs ranks to their ends, each with its end of a buffer on the test's device. */
  static void run(int numRanks, BufferOptions options, Body body) {
    LocalGroup.run(numRanks, group -> run(group, options, body));
  }

  /** Runs one rank, whose options may differ from the others'. */
  static void run(ProcessGroup group, BufferOptions options, Body body) throws Exception {
    BufferOptions patient = options.timeout(TestDevice.PATIENCE);
    try (Buffer buffer = TestDevice.build(group, patient)) {
      body.run(new RankEnd(group.rank(), buffer));
    }
  }

  /** Dispatches, checks, and gives the handle; the result is closed. */
  DispatchHandle dispatchAndCheck(Round round) {
    try (HostTensors memory = new HostTensors();
        DispatchResult result = dispatch(round, memory)) {
      check(round, result);
      return result.handle();
    }
  }

  /** Enters the dispatch. */
  DispatchResult dispatch(Round round, HostTensors memory) {
    RankInput input = round.input.rank(rank);
    Form form = round.form;
    int numTopk = round.input.numTopk();
    DispatchOptions options =
        form.isRankMajor()
            ? DispatchOptions.defaults().expertAlignment(form.alignment())
            : DispatchOptions.defaults().expertMajor(form.alignment());
    options = form.zeroFill() ? options.zeroFill() : options;
    options = form.isBounded() ? options.maxReceivedTokens(round.resultRows(rank)) : options;
    return buffer.dispatch(
        round.payload.x(rank, memory),
        memory.indices(input.topkIdx(), numTopk, form.indexType()),
        form.gateWeights() ? memory.floats(input.topkWeights(), numTopk) : null,
        callOptions(options, round, round.payload, memory));
  }

  /** Enters a cached dispatch of other rows over a round's routing. */
  DispatchResult dispatchCached(
      Round round, Payload payload, DispatchHandle handle, HostTensors memory) {
    DispatchOptions options = DispatchOptions.defaults();
    options = round.form.zeroFill() ? options.zeroFill() : options;
    return buffer.dispatch(
        payload.x(rank, memory), handle, callOptions(options, round, payload, memory));
  }

  private DispatchOptions callOptions(
      DispatchOptions options, Round round, Payload payload, HostTensors memory) {
    DispatchOptions changed = payload.applyTo(options, rank, memory);
    changed = round.form.hook() ? changed.hook() : changed;
    int rows = round.resultRows(rank);
    return switch (round.form.owner()) {
      case BORROWED -> changed;
      case ALLOCATOR -> changed.allocator(memory::garbage);
      case INTO -> {
        Tensor into = memory.garbage(payload.wireType(), rows + 2L, payload.hidden);
        yield payload.scaleWords == 0
            ? changed.into(into)
            : changed.into(
                into, memory.garbage(payload.scaleType(), rows + 2L, payload.scaleWords));
      }
    };
  }

  /** Checks everything that a dispatch delivers. */
  void check(Round round, DispatchResult result) {
    new DispatchCheck(round, rank).check(result);
  }

  /** Checks what a cached dispatch delivers. */
  void checkCached(Round round, Payload payload, DispatchResult result) {
    new DispatchCheck(round, rank).checkRows(payload, result);
  }

  /** Combines, checks and closes. */
  void combineAndCheck(CombineRound round, DispatchHandle handle) {
    try (HostTensors memory = new HostTensors();
        CombineResult result = combine(round, handle, memory)) {
      check(round, result);
    }
  }

  /** Enters the combine. */
  CombineResult combine(CombineRound round, DispatchHandle handle, HostTensors memory) {
    CombineRound.Form form = round.form;
    int numTokens = round.dispatch.input.rank(rank).numTokens();
    CombineOptions options = CombineOptions.defaults();
    if (form.biases() > 0) {
      Tensor bias0 = memory.bf16(round.biases[0][rank], round.hidden);
      options =
          form.biases() == 1
              ? options.bias(bias0)
              : options.bias(bias0, memory.bf16(round.biases[1][rank], round.hidden));
    }
    if (form.weightsBack()) {
      options = options.topkWeights(weights(round, memory));
    }
    options = form.weighted() ? options.weighted() : options;
    options =
        form.into() ? options.into(memory.garbage(DType.BF16, numTokens, round.hidden)) : options;
    options = form.hook() ? options.hook() : options;
    return buffer.combine(y(round, handle, memory), handle, options);
  }

  private Tensor weights(CombineRound round, HostTensors memory) {
    return round.dispatch.form.isRankMajor()
        ? memory.floats(round.weights[rank], round.dispatch.input.numTopk())
        : memory.floats(CombineRound.flat(round.weights[rank]));
  }

  private Tensor y(CombineRound round, DispatchHandle handle, HostTensors memory) {
    Tensor y = memory.bf16(round.y[rank], round.hidden);
    if (!round.form.zeroCopy()) {
      return y;
    }
    Tensor inPlace = buffer.combineInput(handle, null);
    TestDevice.copy(y, inPlace);
    return inPlace;
  }

  /** Checks everything that a combine gives back. */
  void check(CombineRound round, CombineResult result) {
    result.receive();
    result.event().synchronize(); // throws what a device found while it summed
    String what = "rank " + rank + " of " + round;
    Expect.bf16(what + ": combined", round.combined.get(rank), round.hidden, result.combined());
    if (round.form.weightsBack()) {
      Expect.floats(
          what + ": weights",
          round.combinedWeights.get(rank),
          round.dispatch.input.numTopk(),
          result.topkWeights());
    } else {
      requireRefused(what + ": weights", result::topkWeights);
    }
  }

  /** Something that this form of a result does not have. */
  static void requireRefused(String what, java.util.function.Supplier<@Nullable Object> accessor) {
    Object value;
    try {
      value = accessor.get();
    } catch (IllegalStateException expected) {
      return;
    }
    throw new AssertionError(what + ": expected IllegalStateException, got " + value);
  }
}
