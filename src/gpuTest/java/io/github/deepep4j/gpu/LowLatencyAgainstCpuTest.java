package io.github.deepep4j.gpu;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.LowLatencyCombine;
import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.LowLatencyDispatch;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.Quantization;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.LowLatencyRound.Routing;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The same low-latency inputs through both backends: every byte that a result defines is the same.
 */
@Tag("gpu")
final class LowLatencyAgainstCpuTest {
  private static final List<Routing> ROUTINGS = List.of(Routing.values());
  private static final List<Quantization> CASTS = List.of(Quantization.values());
  private static final int ROUNDS = 8;
  private static final int[] HIDDEN = {8, 136, 256, 1152, 2048, 7168};

  @ParameterizedTest(name = "{0} ranks")
  @ValueSource(ints = {1, 2, 3, 4, 8})
  void shouldGiveTheSameBits_whenSizesAreAwkward(int numRanks) {
    for (int hidden : HIDDEN) {
      long seed = 11_000L * numRanks + hidden;
      SplittableRandom random = new SplittableRandom(seed);
      List<LowLatencyRound> rounds = draw(random, numRanks, hidden, ROUNDS);
      Shape shape = rounds.get(0).shape();
      AtomicReferenceArray<Capture> cpu = run(rounds, false);
      AtomicReferenceArray<Capture> cuda = run(rounds, true);
      for (int rank = 0; rank < numRanks; rank++) {
        cpu.get(rank)
            .requireSame(
                "ep.seed=" + seed + ", " + shape + ", rank " + rank + " of " + numRanks,
                cuda.get(rank));
      }
    }
  }

  /** Rounds of one shape and every routing; the last has any bits for values. */
  static List<LowLatencyRound> draw(SplittableRandom random, int numRanks, int hidden, int count) {
    int numExperts = numRanks * (1 + random.nextInt(5));
    int numTopk = 1 + random.nextInt(Math.min(numExperts, BufferOptions.MAX_TOPK));
    Shape shape = new Shape(numRanks, numExperts, 1 + random.nextInt(24), hidden, numTopk);
    List<LowLatencyRound> rounds = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      Routing routing = ROUTINGS.get(i % ROUTINGS.size());
      rounds.add(
          i == count - 1
              ? LowLatencyRound.wild(shape, Routing.SPREAD, random)
              : LowLatencyRound.of(shape, routing, random));
    }
    return rounds;
  }

  private static AtomicReferenceArray<Capture> run(List<LowLatencyRound> rounds, boolean onGpu) {
    Shape shape = rounds.get(0).shape();
    BufferOptions options =
        BufferOptions.of(shape.numExperts(), shape.hidden(), shape.maxTokens())
            .maxTopk(shape.numTopk())
            .lowLatencyOnly();
    AtomicReferenceArray<Capture> captures = new AtomicReferenceArray<>(shape.numRanks());
    LocalGroup.run(
        shape.numRanks(),
        group -> {
          Device device = onGpu ? TestDevice.gpu(group.rank()) : Device.cpu();
          Capture capture = new Capture();
          captures.set(group.rank(), capture);
          try (Buffer buffer = TestDevice.build(group, options, device)) {
            for (int i = 0; i < rounds.size(); i++) {
              try (LowLatencyRank rank = new LowLatencyRank(buffer, group.rank(), i % 2 == 0)) {
                round("round " + i + " ", rank, rounds.get(i), i, capture);
              }
            }
          }
        });
    return captures;
  }

  /** One rank's part of a round. */
  static void round(
      String name, LowLatencyRank rank, LowLatencyRound round, int index, Capture capture) {
    Shape shape = round.shape();
    boolean castable = shape.hidden() % 128 == 0 && index % 2 == 1;
    Quantization cast = castable ? CASTS.get(index / 2 % CASTS.size()) : null;
    Tensor stats = rank.keep(Tensor.zeros(DType.INT32, shape.localExperts()));
    LowLatencyDispatchOptions send = LowLatencyDispatchOptions.defaults().receiveStats(stats);
    send = cast == null ? send : send.quantize(cast);
    LowLatencyCombineOptions back = LowLatencyCombineOptions.defaults();
    try (LowLatencyDispatch rows = rank.dispatch(round, index % 3 == 0 ? send.hook() : send);
        LowLatencyCombine staged = rank.combine(round, rows.handle(), back);
        LowLatencyCombine inPlace = rank.combineInPlace(round, rows.handle(), back.hook())) {
      capture.add(name + "count", rows.count());
      capture.add(name + "ranges", rows.layoutRange());
      capture.add(name + "stats", stats);
      int[] counts = TestDevice.read(rows.count(), Tensor::toInts);
      for (int expert = 0; expert < counts.length; expert++) {
        captureRows(name + "expert " + expert + " ", rows, expert, counts[expert], capture);
      }
      capture.add(name + "combined", staged.combined());
      capture.add(name + "combined in place", inPlace.combined());
    }
  }

  /** Rows past the count may hold anything. */
  private static void captureRows(
      String name, LowLatencyDispatch rows, int expert, int count, Capture capture) {
    Tensor x = rows.x();
    long places = x.size(1);
    long hidden = x.size(2);
    Tensor flat = x.view(new long[] {x.size(0) * places, hidden}, new long[] {hidden, 1});
    capture.add(name + "x", flat.rows(expert * places, expert * places + count));
    Tensor sources = rows.sourceInfo();
    Tensor tokens = sources.view(new long[] {sources.numElements(), 1}, new long[] {1, 1});
    capture.add(name + "sources", tokens.rows(expert * places, expert * places + count));
    if (x.dtype() == DType.BF16) {
      return;
    }
    Tensor scales = rows.scales();
    long words = scales.size(2);
    Tensor columns =
        scales.view(
            new long[] {scales.size(0) * words * places, 1}, new long[] {1, 1}); // column by column
    for (long word = 0; word < words; word++) {
      long begin = (expert * words + word) * places;
      capture.add(name + "scales " + word, columns.rows(begin, begin + count));
    }
  }
}
