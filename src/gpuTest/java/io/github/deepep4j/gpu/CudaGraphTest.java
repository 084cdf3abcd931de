package io.github.deepep4j.gpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DeviceGraph;
import io.github.deepep4j.DeviceMemory;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.Stream;
import io.github.deepep4j.fixtures.Expect;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.reference.ReferenceCombine;
import io.github.deepep4j.reference.ReferenceDispatch;
import io.github.deepep4j.reference.RowOrigin;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * A graph with one dispatch and one combine, replayed with changed routing, eager calls between.
 */
@Tag("gpu")
final class CudaGraphTest {
  private static final int NUM_RANKS = 3;
  private static final int HIDDEN = 264;
  private static final int TOPK = 3;
  private static final int EXPERTS = 12;
  private static final int[] TOKENS = {19, 8, 30};
  private static final int CAPACITY = NUM_RANKS * 30;
  private static final int REPLAYS = 100;

  /** One rank's tensors, which the graph reads and writes in place. */
  private record Places(Tensor x, Tensor topkIdx, Tensor out) {}

  @Test
  void shouldFollowTheRouting_whenReplayedWithEagerCallsBetween() {
    SplittableRandom random = new SplittableRandom(77);
    Inputs.Shape shape = new Inputs.Shape(NUM_RANKS, EXPERTS, TOPK, HIDDEN, RoutingShape.UNIFORM);
    List<GlobalInput> inputs = new ArrayList<>();
    for (int i = 0; i <= REPLAYS; i++) {
      inputs.add(Inputs.draw(random, shape, TOKENS));
    }
    BufferOptions options =
        BufferOptions.of(EXPERTS, HIDDEN, 30).timeout(TestDevice.PATIENCE).normalRegions(2);
    LocalGroup.run(
        NUM_RANKS,
        group -> {
          int rank = group.rank();
          try (Buffer buffer = TestDevice.build(group, options, TestDevice.gpu(rank));
              HostTensors memory = new HostTensors()) {
            Places graphs = places(inputs.get(0), rank, memory);
            Places eager = places(inputs.get(REPLAYS), rank, memory);
            DispatchResult[] rows = new DispatchResult[1];
            Stream stream = buffer.stream();
            try (DeviceGraph graph =
                DeviceGraph.record(stream, () -> rows[0] = calls(buffer, graphs))) {
              group.barrier(); // nobody waits for a rank that still records
              for (int i = 0; i < REPLAYS; i++) {
                change(graphs, inputs.get(i), rank);
                graph.launch(stream);
                check("replay " + i, inputs.get(i), rank, rows[0], graphs.out());
                if (i % 3 == 0) {
                  try (DispatchResult now = calls(buffer, eager)) {
                    check("eager call " + i, inputs.get(REPLAYS), rank, now, eager.out());
                    now.handle().close();
                  }
                }
              }
              buffer.check();
              TestDevice.finish();
            }
            rows[0].handle().close();
            rows[0].close();
          }
        });
  }

  @Test
  void shouldRefuse_whenTheStreamIsTheCpus() {
    assertThatThrownBy(() -> DeviceGraph.record(Stream.cpu(), () -> {}))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("the CPU does all work at once");
  }

  private static Places places(GlobalInput input, int rank, HostTensors memory) {
    return new Places(
        memory.bf16(input.rank(rank).x(), HIDDEN),
        memory.indices(input.rank(rank).topkIdx(), TOPK, DType.INT64),
        memory.garbage(DType.BF16, TOKENS[rank], HIDDEN));
  }

  private static void change(Places places, GlobalInput input, int rank) {
    TestDevice.finish();
    try (HostTensors memory = new HostTensors()) {
      Places now = places(input, rank, memory);
      DeviceMemory.copy(now.x(), places.x());
      DeviceMemory.copy(now.topkIdx(), places.topkIdx());
    }
  }

  /** A bounded dispatch, and what came in goes back. */
  private static DispatchResult calls(Buffer buffer, Places places) {
    DispatchResult rows =
        buffer.dispatch(
            places.x(),
            places.topkIdx(),
            null,
            DispatchOptions.defaults().maxReceivedTokens(CAPACITY));
    DispatchHandle handle = rows.handle();
    try (CombineResult sums =
        buffer.combine(rows.x(), handle, CombineOptions.defaults().into(places.out()))) {
      assertThat(sums.combined()).isSameAs(places.out());
    }
    return rows;
  }

  private static void check(
      String what, GlobalInput input, int rank, DispatchResult rows, Tensor out) {
    List<ReferenceDispatch> received = new ArrayList<>();
    short[][][] y = new short[NUM_RANKS][][];
    for (int there = 0; there < NUM_RANKS; there++) {
      received.add(ReferenceDispatch.rankMajor(input, there, 1));
      List<RowOrigin> origins = received.get(there).rows;
      y[there] =
          origins.stream()
              .map(row -> input.rank(row.sourceRank()).x()[row.sourceToken()])
              .toArray(short[][]::new);
    }
    int count = y[rank].length;
    Tensor numReceived = rows.numReceivedTensor();
    Expect.ints(what + ": rows", new int[] {count}, numReceived);
    Expect.bf16(what + ": x", y[rank], HIDDEN, rows.x().rows(0, count));
    Expect.bf16(
        what + ": sums",
        new ReferenceCombine(input, received, rank, HIDDEN).rankMajor(y, null, null),
        HIDDEN,
        out);
  }
}
