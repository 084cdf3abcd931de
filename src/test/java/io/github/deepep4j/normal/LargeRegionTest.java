package io.github.deepep4j.normal;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.fixtures.Expect;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.reference.ReferenceCombine;
import io.github.deepep4j.reference.RowOrigin;
import io.github.deepep4j.tensor.Tensor;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/**
 * Rows that lie more than 2 GiB behind the start of their region. A huge alignment puts them there;
 * what lies between is never touched, so the test needs little memory.
 */
class LargeRegionTest {
  private static final int NUM_RANKS = 2;
  private static final int HIDDEN = 7168;
  private static final int LOCAL_EXPERTS = 32;
  private static final int ALIGNMENT = 5000;
  private static final int MOST_TOKENS = 2;

  @Test
  void shouldSendAndSum_whenRowsLieBeyondTwoGibibytes() {
    SplittableRandom random = new SplittableRandom(31);
    GlobalInput input =
        Inputs.draw(
            random,
            new Inputs.Shape(
                NUM_RANKS, NUM_RANKS * LOCAL_EXPERTS, 32, HIDDEN, RoutingShape.ONE_RANK),
            1,
            MOST_TOKENS);
    Round round = new Round(input, Form.expertMajor(ALIGNMENT), Payload.bf16(input));
    short[][][] y = new short[NUM_RANKS][][];
    for (int rank = 0; rank < NUM_RANKS; rank++) {
      List<RowOrigin> rows = round.received.get(rank).rows;
      y[rank] = new short[rows.size()][];
      for (int row = 0; row < rows.size(); row++) {
        if (!rows.get(row).isPadding()) {
          y[rank][row] = Inputs.bf16Rows(random, 1, HIDDEN)[0];
        }
      }
    }
    BufferOptions options =
        BufferOptions.of(NUM_RANKS * LOCAL_EXPERTS, HIDDEN, MOST_TOKENS)
            .maxTopk(32)
            .expertMajor()
            .maxExpertAlignment(ALIGNMENT)
            .normalRegions(1);
    assertThat(SizeHint.of(options, NUM_RANKS).dispatchBytes()).isGreaterThan(1L << 31);
    RankEnd.run(
        NUM_RANKS,
        options,
        end -> {
          try (HostTensors memory = new HostTensors();
              DispatchResult rows = end.dispatch(round, memory);
              DispatchHandle handle = rows.handle()) {
            end.check(round, rows);
            Tensor outputs = end.buffer.combineInput(handle, null);
            int last = -1;
            for (int row = 0; row < y[end.rank].length; row++) {
              if (y[end.rank][row] != null) {
                TestDevice.copy(
                    memory.bf16(new short[][] {y[end.rank][row]}, HIDDEN),
                    outputs.rows(row, row + 1L));
                last = row;
              }
            }
            // One of the two ranks has every token; its last expert's rows are the far ones.
            assertThat(last == -1 || last * 2L * HIDDEN > 1L << 31).isTrue();
            try (CombineResult sums = end.buffer.combine(outputs, handle)) {
              short[][] expected =
                  new ReferenceCombine(input, round.received, end.rank, HIDDEN)
                      .expertMajor(y, false, null, null);
              Expect.bf16("sums", expected, HIDDEN, sums.combined());
            }
          }
        });
  }
}
