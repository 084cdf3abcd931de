package io.github.deepep4j.gpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.DeviceGraph;
import io.github.deepep4j.DeviceMemory;
import io.github.deepep4j.LowLatencyCombine;
import io.github.deepep4j.LowLatencyCombineOptions;
import io.github.deepep4j.LowLatencyDispatch;
import io.github.deepep4j.LowLatencyDispatchOptions;
import io.github.deepep4j.Stream;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RankInput;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.reference.LowLatencyOracle;
import io.github.deepep4j.reference.LowLatencyOracle.Row;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import io.github.deepep4j.reference.NumberFormats;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A graph with one low-latency dispatch, an odd number beside two inboxes, and its combine:
 * replayed with changed routing, eager low-latency calls between.
 */
@Tag("gpu")
final class LowLatencyGraphTest {
  private static final int[] TOKENS = {7, 0, 12};
  private static final Shape SHAPE = new Shape(TOKENS.length, 6, 12, 264, 3);
  private static final int REPLAYS = 100;

  /** One rank's tensors, which the graph reads and writes in place. */
  private record Places(Tensor x, Tensor topkIdx, Tensor weights, Tensor out) {}

  @ParameterizedTest(name = "two halves: {0}")
  @ValueSource(booleans = {false, true})
  void shouldFollowTheRouting_whenReplayedWithEagerCallsBetween(boolean hook) {
    List<GlobalInput> inputs = draw();
    BufferOptions options =
        BufferOptions.of(SHAPE.numExperts(), SHAPE.hidden(), SHAPE.maxTokens())
            .maxTopk(SHAPE.numTopk())
            .timeout(TestDevice.PATIENCE)
            .lowLatencyOnly();
    LocalGroup.run(
        SHAPE.numRanks(),
        group -> {
          int rank = group.rank();
          try (Buffer buffer = TestDevice.build(group, options, TestDevice.gpu(rank));
              HostTensors memory = new HostTensors()) {
            Places graphs = places(inputs.get(0), rank, memory);
            Places eager = places(inputs.get(REPLAYS), rank, memory);
            LowLatencyDispatch[] rows = new LowLatencyDispatch[1];
            Stream stream = buffer.stream();
            try (DeviceGraph graph =
                DeviceGraph.record(stream, () -> rows[0] = calls(buffer, graphs, hook))) {
              group.barrier(); // nobody waits for a rank that still records
              for (int i = 0; i < REPLAYS; i++) {
                change(graphs, inputs.get(i), rank);
                graph.launch(stream);
                check("replay " + i, inputs.get(i), rank, rows[0], graphs.out());
                if (i % 3 == 0) {
                  try (LowLatencyDispatch now = calls(buffer, eager, !hook)) {
                    check("eager call " + i, inputs.get(REPLAYS), rank, now, eager.out());
                  }
                }
              }
              buffer.check();
              TestDevice.finish();
            }
            rows[0].close();
          }
        });
  }

  private static List<GlobalInput> draw() {
    SplittableRandom random = new SplittableRandom(78);
    Inputs.Shape shape =
        new Inputs.Shape(
            SHAPE.numRanks(),
            SHAPE.numExperts(),
            SHAPE.numTopk(),
            SHAPE.hidden(),
            RoutingShape.UNIFORM);
    List<GlobalInput> inputs = new ArrayList<>();
    for (int i = 0; i <= REPLAYS; i++) {
      inputs.add(Inputs.draw(random, shape, TOKENS));
    }
    return inputs;
  }

  private static Places places(GlobalInput input, int rank, HostTensors memory) {
    RankInput mine = input.rank(rank);
    return new Places(
        memory.bf16(mine.x(), SHAPE.hidden()),
        memory.indices(mine.topkIdx(), SHAPE.numTopk(), DType.INT64),
        memory.floats(mine.topkWeights(), SHAPE.numTopk()),
        memory.garbage(DType.BF16, TOKENS[rank], SHAPE.hidden()));
  }

  private static void change(Places places, GlobalInput input, int rank) {
    TestDevice.finish();
    try (HostTensors memory = new HostTensors()) {
      Places now = places(input, rank, memory);
      DeviceMemory.copy(now.x(), places.x());
      DeviceMemory.copy(now.topkIdx(), places.topkIdx());
      DeviceMemory.copy(now.weights(), places.weights());
    }
  }

  /** A dispatch, and what came in goes back. */
  private static LowLatencyDispatch calls(Buffer buffer, Places places, boolean hook) {
    LowLatencyDispatchOptions send = LowLatencyDispatchOptions.defaults();
    LowLatencyCombineOptions back = LowLatencyCombineOptions.defaults().into(places.out());
    LowLatencyDispatch rows =
        buffer.lowLatencyDispatch(places.x(), places.topkIdx(), hook ? send.hook() : send);
    try (LowLatencyCombine sums =
        buffer.lowLatencyCombine(
            rows.x(), places.weights(), rows.handle(), hook ? back.hook() : back)) {
      assertThat(sums.combined()).isSameAs(places.out());
    }
    return rows;
  }

  private static void check(
      String what, GlobalInput input, int rank, LowLatencyDispatch rows, Tensor out) {
    long[][] topkIdx = new long[SHAPE.numRanks()][];
    for (int source = 0; source < topkIdx.length; source++) {
      topkIdx[source] =
          Arrays.stream(input.rank(source).topkIdx()).flatMapToLong(Arrays::stream).toArray();
    }
    LowLatencyOracle oracle = new LowLatencyOracle(SHAPE, topkIdx);
    assertThat(TestDevice.read(rows.count(), Tensor::toInts))
        .as(what)
        .isEqualTo(oracle.counts(rank));
    assertThat(TestDevice.read(rows.layoutRange(), Tensor::toLongs))
        .as(what)
        .isEqualTo(oracle.layoutRange(rank));
    short[] x = TestDevice.read(rows.x(), Tensor::toShorts);
    int hidden = SHAPE.hidden();
    for (int local = 0; local < SHAPE.localExperts(); local++) {
      List<Row> expected = oracle.rows(rank * SHAPE.localExperts() + local);
      for (int i = 0; i < expected.size(); i++) {
        Row row = expected.get(i);
        int at = (local * SHAPE.rowsPerExpert() + i) * hidden;
        assertThat(Arrays.copyOfRange(x, at, at + hidden))
            .as("%s: local expert %d row %d", what, local, i)
            .isEqualTo(input.rank(row.source()).x()[row.token()]);
      }
    }
    assertThat(TestDevice.read(out, Tensor::toShorts))
        .as(what + ": sums")
        .isEqualTo(sums(input.rank(rank)));
  }

  /** Every token times the weights of its choices. */
  private static short[] sums(RankInput mine) {
    int hidden = SHAPE.hidden();
    short[] sums = new short[mine.x().length * hidden];
    for (int i = 0; i < sums.length; i++) {
      int token = i / hidden;
      float sum = 0f;
      for (int k = 0; k < SHAPE.numTopk(); k++) {
        if (mine.topkIdx()[token][k] >= 0) {
          float value = NumberFormats.bf16ToFloat(mine.x()[token][i % hidden]);
          sum = Math.fma(mine.topkWeights()[token][k], value, sum);
        }
      }
      sums[i] = NumberFormats.floatToBf16(sum);
    }
    return sums;
  }
}
