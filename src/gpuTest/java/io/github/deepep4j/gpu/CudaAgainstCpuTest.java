package io.github.deepep4j.gpu;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.Nodes;
import io.github.deepep4j.fixtures.RankInput;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The same inputs through both backends: every byte of every result is the same. Several rounds on
 * one buffer, in both orders, plain and cast, with a cached dispatch and a combine each.
 */
@Tag("gpu")
final class CudaAgainstCpuTest {
  private static final List<Quantization> CASTS = List.of(Quantization.values());
  private static final int ROUNDS = 6;
  private static final int MOST_TOKENS = 32;
  private static final int[] HIDDEN = {8, 56, 128, 264, 384, 1024, 7168};

  @ParameterizedTest(name = "{0} ranks")
  @ValueSource(ints = {1, 2, 3, 4, 5, 8})
  void shouldGiveTheSameBits_whenSizesAreAwkward(int numRanks) {
    compare(new Nodes(1, numRanks));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("io.github.deepep4j.fixtures.Nodes#all")
  void shouldGiveTheSameBits_whenThereAreNodes(Nodes nodes) {
    compare(nodes);
  }

  private static void compare(Nodes nodes) {
    int numRanks = nodes.numRanks();
    for (int hidden : HIDDEN) {
      long seed = 7_000L * numRanks + hidden;
      SplittableRandom random = new SplittableRandom(seed);
      int numExperts = numRanks * (1 + random.nextInt(5));
      List<GlobalInput> inputs = draw(random, numRanks, numExperts, hidden, ROUNDS, MOST_TOKENS);
      AtomicReferenceArray<Capture> cpu = run(nodes, numExperts, hidden, inputs, false);
      AtomicReferenceArray<Capture> cuda = run(nodes, numExperts, hidden, inputs, true);
      for (int rank = 0; rank < numRanks; rank++) {
        cpu.get(rank)
            .requireSame(
                "ep.seed=" + seed + ", hidden " + hidden + ", rank " + rank + " of " + numRanks,
                cuda.get(rank));
      }
    }
  }

  /** Inputs of several rounds, of any routing and awkward sizes. */
  static List<GlobalInput> draw(
      SplittableRandom random,
      int numRanks,
      int numExperts,
      int hidden,
      int rounds,
      int mostTokens) {
    List<GlobalInput> inputs = new ArrayList<>();
    for (int round = 0; round < rounds; round++) {
      Inputs.Shape shape =
          new Inputs.Shape(
              numRanks,
              numExperts,
              Inputs.awkwardTopk(random),
              hidden,
              Inputs.any(random, RoutingShape.values()));
      inputs.add(Inputs.draw(random, shape, Inputs.awkwardTokens(random, numRanks, mostTokens)));
    }
    return inputs;
  }

  private static AtomicReferenceArray<Capture> run(
      Nodes nodes, int numExperts, int hidden, List<GlobalInput> inputs, boolean onGpu) {
    int numRanks = nodes.numRanks();
    BufferOptions options =
        nodes.of(
            BufferOptions.of(numExperts, hidden, MOST_TOKENS)
                .maxTopk(BufferOptions.MAX_TOPK)
                .expertMajor());
    AtomicReferenceArray<Capture> captures = new AtomicReferenceArray<>(numRanks);
    LocalGroup.run(
        numRanks,
        group -> {
          int rank = group.rank();
          Device device = onGpu ? TestDevice.gpu(rank) : Device.cpu();
          Capture capture = new Capture();
          captures.set(rank, capture);
          try (Buffer buffer = TestDevice.build(group, options, device)) {
            for (int i = 0; i < inputs.size(); i++) {
              round("round " + i + " ", buffer, inputs.get(i), rank, i, capture);
            }
          }
        });
    return captures;
  }

  /** One rank's part of a round. */
  static void round(
      String name, Buffer buffer, GlobalInput input, int rank, int index, Capture capture) {
    boolean expertMajor = index % 2 == 1;
    DispatchOptions options =
        expertMajor
            ? DispatchOptions.defaults().expertMajor(4).zeroFill()
            : DispatchOptions.defaults();
    Quantization cast = CASTS.get(index % CASTS.size());
    RankInput mine = input.rank(rank);
    try (HostTensors memory = new HostTensors()) {
      Tensor x = memory.bf16(mine.x(), input.hidden());
      Tensor topkIdx =
          memory.indices(
              mine.topkIdx(), input.numTopk(), index % 3 == 0 ? DType.INT32 : DType.INT64);
      Tensor weights = memory.floats(mine.topkWeights(), input.numTopk());
      try (DispatchResult rows = buffer.dispatch(x, topkIdx, weights, options);
          DispatchHandle handle = rows.handle()) {
        captureRows(name, rows, expertMajor, capture);
        CombineOptions plain = CombineOptions.defaults().bias(x);
        CombineOptions back =
            expertMajor
                ? CombineOptions.defaults().weighted()
                : CombineOptions.defaults().topkWeights(rows.topkWeights());
        try (CombineResult first = buffer.combine(rows.x(), handle, plain);
            CombineResult second = buffer.combine(rows.x(), handle, back)) {
          capture.add(name + "combined", first.combined());
          capture.add(name + "combined otherwise", second.combined());
          if (!expertMajor) {
            capture.add(name + "weights back", second.topkWeights());
          }
        }
        if (input.hidden() % 128 == 0) {
          DispatchOptions cached = DispatchOptions.defaults().quantize(cast);
          try (DispatchResult again =
              buffer.dispatch(x, handle, expertMajor ? cached.zeroFill() : cached)) {
            capture.add(name + "cached x", again.x());
            capture.add(name + "cached scales", again.scales());
          }
        }
      }
    }
  }

  private static void captureRows(
      String name, DispatchResult rows, boolean expertMajor, Capture capture) {
    capture.add(name + "received", rows.numReceived());
    capture.add(name + "per expert", rows.tokensPerExpert());
    capture.add(name + "x", rows.x());
    capture.add(name + "source token", rows.sourceToken());
    if (expertMajor) {
      capture.add(name + "offsets", rows.expertOffsets());
      capture.add(name + "weight", rows.weight());
      capture.add(name + "source rank", rows.sourceRank());
      capture.add(name + "slot", rows.topkSlot());
    } else {
      capture.add(name + "idx", rows.topkIdx());
      capture.add(name + "weights", rows.topkWeights());
      capture.add(name + "prefix", rows.rankPrefix());
    }
  }
}
