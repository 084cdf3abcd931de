package io.github.deepep4j.examples.training;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.LowLatencyCombine;
import io.github.deepep4j.LowLatencyDispatch;
import io.github.deepep4j.tensor.Tensor;
import java.util.List;

/**
 * The experts of one rank, and the way of all ranks' tokens to them and back: the only class of
 * this example that calls {@link Buffer}.
 *
 * <pre>
 *   forward    x  ──dispatch──►  rows by expert ──w·f(row)──►  ──combine──►  out = Σ_k w_k·f_k(x)
 *                     │ handle: the routing, kept from forward to backward
 *   backward  dx ◄──combine──  rows' gradients ◄──experts──  ◄──cached dispatch──  d(out)
 *             dw ◄──combine──  d(row's weight)
 * </pre>
 *
 * <p>The gate weight is applied here, on the expert's rank, and not by {@code weighted()} in the
 * combine: only so does the weight's gradient exist anywhere, as d(out)·f(row), and go back with
 * the rows. Generation needs no gradient and uses the low-latency calls, which weight in combine.
 *
 * <p>Every method is collective: all ranks call it in the same order.
 */
final class MoeLayer {
  private static final DispatchOptions BY_EXPERT = DispatchOptions.defaults().expertMajor(1);

  private final Buffer buffer;
  private final List<Expert> experts; // of this rank
  private final int hidden;
  private final CommunicationClock clock;
  private final BufferMemory memory;

  MoeLayer(Buffer buffer, List<Expert> experts, int hidden, CommunicationClock clock) {
    this.buffer = buffer;
    this.experts = experts;
    this.hidden = hidden;
    this.clock = clock;
    this.memory = new BufferMemory(buffer);
  }

  /**
   * What backward needs of forward. Holds the handle of the dispatch; backward closes it.
   *
   * @param handle the routing of this forward
   * @param offsets {@code [localExperts + 1]}, where each expert's rows start
   * @param weights {@code [N]}, the rows' gate weights
   * @param x {@code [N][hidden]}, the rows
   * @param inner {@code [N][inner width]}, inside the experts
   * @param y {@code [N][hidden]}, the experts' outputs before weighting
   */
  record Saved(
      DispatchHandle handle,
      int[] offsets,
      float[] weights,
      float[][] x,
      float[][] inner,
      float[][] y) {
    /** Rows of one local expert. */
    Expert.Rows rows(int expert) {
      return new Expert.Rows(x, inner, offsets[expert], offsets[expert + 1]);
    }

    /** Tokens of each local expert. */
    int[] load() {
      int[] load = new int[offsets.length - 1];
      for (int e = 0; e < load.length; e++) {
        load[e] = offsets[e + 1] - offsets[e];
      }
      return load;
    }
  }

  /** Writes {@code out[t] = Σ_k w[t,k] · f_k(x[t])}. */
  Saved forward(float[][] x, Routing routing, float[][] out) {
    Saved saved = dispatch(x, routing);
    for (int e = 0; e < experts.size(); e++) {
      Expert.Rows rows = saved.rows(e);
      experts.get(e).forward(saved.x(), saved.inner(), saved.y(), rows.from(), rows.to());
    }
    combine(weighted(saved.y(), saved.weights()), saved, CombineOptions.defaults(), out);
    return saved;
  }

  private Saved dispatch(float[][] x, Routing routing) {
    try (Tensor tokens = tokens(x);
        Tensor topkIdx = memory.place(Tensor.copyOf(routing.experts(), x.length, Routing.TOPK));
        Tensor topkWeights =
            memory.place(Tensor.copyOf(routing.weights(), x.length, Routing.TOPK));
        DispatchResult result =
            clock.dispatch(() -> buffer.dispatch(tokens, topkIdx, topkWeights, BY_EXPERT))) {
      // The result's memory goes back to the buffer here, so the rows are copied out; the handle
      // lives on.
      float[][] rows = Bf16.unpack(memory.read(result.x(), Tensor::toShorts), hidden);
      return new Saved(
          result.handle(),
          memory.read(result.expertOffsets(), Tensor::toInts),
          memory.read(result.weight(), Tensor::toFloats),
          rows,
          new float[rows.length][experts.get(0).innerWidth()],
          new float[rows.length][hidden]);
    }
  }

  private Tensor tokens(float[][] rows) {
    return memory.place(Tensor.copyOf(Bf16.pack(rows), rows.length, hidden));
  }

  /**
   * From the gradient of out: overwrites dx, adds to the experts' gradients.
   *
   * @return gradient of the gate weights, {@code [tokens, 2]}
   */
  float[] backward(Saved saved, float[][] dOut, float[][] dx) {
    try (DispatchHandle handle = saved.handle()) {
      float[][] dWeighted = cachedDispatch(dOut, handle);
      float[] dWeights = new float[dWeighted.length];
      for (int r = 0; r < dWeights.length; r++) {
        dWeights[r] = RowMath.dot(dWeighted[r], saved.y()[r]);
      }
      float[][] dy = weighted(dWeighted, saved.weights());
      float[][] dRows = new float[dy.length][hidden];
      for (int e = 0; e < experts.size(); e++) {
        experts.get(e).backward(saved.rows(e), dy, dRows);
      }
      try (Tensor backWithRows = memory.place(Tensor.copyOf(dWeights, dWeights.length))) {
        return combine(dRows, saved, CombineOptions.defaults().topkWeights(backWithRows), dx);
      }
    }
  }

  /** Sends the tokens' gradients where their rows went: the backward of combine. */
  private float[][] cachedDispatch(float[][] dOut, DispatchHandle handle) {
    try (Tensor gradient = tokens(dOut);
        DispatchResult result =
            clock.dispatch(() -> buffer.dispatch(gradient, handle, DispatchOptions.defaults()))) {
      return Bf16.unpack(memory.read(result.x(), Tensor::toShorts), hidden);
    }
  }

  /** Sums the rows of each token into out; returns the weights that went with them, if any. */
  private float[] combine(float[][] rows, Saved saved, CombineOptions options, float[][] out) {
    Tensor y = memory.write(Bf16.pack(rows), buffer.combineInput(saved.handle(), null));
    try (CombineResult result = clock.combine(() -> buffer.combine(y, saved.handle(), options))) {
      Bf16.unpack(memory.read(result.combined(), Tensor::toShorts), out);
      return options.topkWeights() == null
          ? new float[0]
          : memory.read(result.topkWeights(), Tensor::toFloats);
    }
  }

  /** Forward alone, with the low-latency calls: for the few tokens of a step of generation. */
  void generate(float[][] x, Routing routing, float[][] out) {
    try (Tensor tokens = tokens(x);
        Tensor topkIdx = memory.place(Tensor.copyOf(routing.experts(), x.length, Routing.TOPK));
        Tensor topkWeights =
            memory.place(Tensor.copyOf(routing.weights(), x.length, Routing.TOPK));
        LowLatencyDispatch result =
            clock.dispatch(() -> buffer.lowLatencyDispatch(tokens, topkIdx))) {
      Tensor y = buffer.lowLatencyCombineInput(result.handle(), null);
      int[] count = memory.read(result.count(), Tensor::toInts);
      for (int e = 0; e < experts.size(); e++) {
        float[][] rows =
            Bf16.unpack(memory.read(rowsOf(result.x(), e, count[e]), Tensor::toShorts), hidden);
        float[][] inner = new float[rows.length][experts.get(e).innerWidth()];
        float[][] outputs = new float[rows.length][hidden];
        experts.get(e).forward(rows, inner, outputs, 0, rows.length);
        memory.write(Bf16.pack(outputs), rowsOf(y, e, count[e]));
      }
      try (LowLatencyCombine sums =
          clock.combine(() -> buffer.lowLatencyCombine(y, topkWeights, result.handle()))) {
        Bf16.unpack(memory.read(sums.combined(), Tensor::toShorts), out);
      }
    }
  }

  /** The first rows of one expert in a tensor {@code [localExperts, n·M, hidden]}. */
  private Tensor rowsOf(Tensor byExpert, int expert, int count) {
    return byExpert
        .rows(expert, expert + 1)
        .view(new long[] {count, hidden}, new long[] {hidden, 1});
  }

  private static float[][] weighted(float[][] rows, float[] weights) {
    float[][] weighted = new float[rows.length][];
    for (int r = 0; r < rows.length; r++) {
      weighted[r] = rows[r].clone();
      for (int i = 0; i < weighted[r].length; i++) {
        weighted[r][i] *= weights[r];
      }
    }
    return weighted;
  }
}
