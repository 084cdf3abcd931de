package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.fixtures.LowLatencyGroup;
import io.github.deepep4j.fixtures.LowLatencyGroup.Member;
import io.github.deepep4j.fixtures.LowLatencyRank;
import io.github.deepep4j.fixtures.LowLatencyRound;
import io.github.deepep4j.fixtures.LowLatencyRound.Routing;
import io.github.deepep4j.fixtures.LowLatencyShapes;
import io.github.deepep4j.reference.LowLatencyOracle.Shape;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.SplittableRandom;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;

/**
 * Host-side rules of the low-latency calls: each is an {@link IllegalArgumentException} with rule
 * and value, before the collective is entered, so that the caller can correct it and call again.
 */
final class LowLatencyRulesTest {
  private static final Shape SHAPE = new Shape(2, 6, 5, 136, 3);
  private static final LowLatencyRound ROUND =
      LowLatencyRound.of(SHAPE, Routing.GAPS, new SplittableRandom(3));

  private static void refused(String rule, Object value, ThrowingCallable call) {
    assertThatThrownBy(call)
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining(rule)
        .hasMessageContaining(value.toString());
  }

  /** Makes calls with one thing wrong. */
  private record Wrong(Member member) {
    Tensor tensor(DType dtype, long... shape) {
      return member.rank().keep(Tensor.zeros(dtype, shape));
    }

    ThrowingCallable dispatch(Tensor x, Tensor topkIdx, LowLatencyDispatchOptions options) {
      return () -> member.buffer().lowLatencyDispatch(x, topkIdx, options);
    }

    ThrowingCallable combine(
        Tensor y, Tensor weights, LowLatencyHandle handle, LowLatencyCombineOptions options) {
      return () -> member.buffer().lowLatencyCombine(y, weights, handle, options);
    }
  }

  @Test
  void shouldNameRuleAndValueAndStayUsable_whenADispatchIsWrong() {
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          if (member.number() == 0) {
            wrongDispatches(new Wrong(member)); // rank 1 waits meanwhile
          }
          try (LowLatencyDispatch sent =
              member.rank().dispatch(ROUND, LowLatencyDispatchOptions.defaults())) {
            member.rank().checkDispatch(ROUND, sent, null);
          }
        });
  }

  private static void wrongDispatches(Wrong wrong) {
    LowLatencyDispatchOptions plain = LowLatencyDispatchOptions.defaults();
    Tensor x = wrong.tensor(DType.BF16, 4, 136);
    Tensor idx = wrong.tensor(DType.INT64, 4, 3);
    refused(
        "T must be <= maxTokensPerRank 5",
        6,
        wrong.dispatch(wrong.tensor(DType.BF16, 6, 136), wrong.tensor(DType.INT64, 6, 3), plain));
    refused(
        "x must be BF16",
        "FP8_E4M3",
        wrong.dispatch(wrong.tensor(DType.FP8_E4M3, 4, 136), idx, plain));
    refused(
        "the buffer's hidden 136",
        "[4, 128]",
        wrong.dispatch(wrong.tensor(DType.BF16, 4, 128), idx, plain));
    refused(
        "x must have 2 dimensions",
        "[544]",
        wrong.dispatch(wrong.tensor(DType.BF16, 544), idx, plain));
    refused(
        "x must be contiguous",
        "x",
        wrong.dispatch(
            wrong.tensor(DType.BF16, 136, 4).view(new long[] {4, 136}, new long[] {1, 4}),
            idx,
            plain));
    refused(
        "topkIdx must be INT64 or INT32",
        "FLOAT32",
        wrong.dispatch(x, wrong.tensor(DType.FLOAT32, 4, 3), plain));
    refused(
        "topkIdx must have the 4 tokens of x",
        "[3, 3]",
        wrong.dispatch(x, wrong.tensor(DType.INT64, 3, 3), plain));
    refused(
        "K must be from 1 to the buffer's maxTopk 3",
        4,
        wrong.dispatch(x, wrong.tensor(DType.INT64, 4, 4), plain));
    for (Quantization quantization : Quantization.values()) {
      refused("a multiple of 128", 136, wrong.dispatch(x, idx, plain.quantize(quantization)));
    }
    refused(
        "receiveStats must be INT32[3]",
        "INT64",
        wrong.dispatch(x, idx, plain.receiveStats(wrong.tensor(DType.INT64, 3))));
    refused(
        "receiveStats must be INT32[3]",
        "[6]",
        wrong.dispatch(x, idx, plain.receiveStats(wrong.tensor(DType.INT32, 6))));
    refused(
        "waitNanos must be INT64[2]",
        "INT32",
        wrong.dispatch(x, idx, plain.waitNanos(wrong.tensor(DType.INT32, 2))));
    refused(
        "waitNanos must be INT64[2]",
        "[3]",
        wrong.dispatch(x, idx, plain.waitNanos(wrong.tensor(DType.INT64, 3))));
  }

  @Test
  void shouldNameRuleAndValueAndStayUsable_whenACombineIsWrong() {
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          LowLatencyRank rank = member.rank();
          try (LowLatencyDispatch sent =
              rank.dispatch(ROUND, LowLatencyDispatchOptions.defaults())) {
            if (member.number() == 1) {
              wrongCombines(new Wrong(member), sent.handle());
            }
            try (LowLatencyCombine sums =
                rank.combine(ROUND, sent.handle(), LowLatencyCombineOptions.defaults())) {
              rank.checkCombine(ROUND, sums, false);
            }
          }
        });
  }

  private static void wrongCombines(Wrong wrong, LowLatencyHandle handle) {
    LowLatencyCombineOptions plain = LowLatencyCombineOptions.defaults();
    long tokens = handle.numTokens();
    Tensor y = wrong.tensor(DType.BF16, 3, 10, 136);
    Tensor weights = wrong.tensor(DType.FLOAT32, tokens, 3);
    refused(
        "y must be BF16[3, 10, 136]",
        "[3, 9, 136]",
        wrong.combine(wrong.tensor(DType.BF16, 3, 9, 136), weights, handle, plain));
    refused(
        "y must have 3 dimensions",
        "[30, 136]",
        wrong.combine(wrong.tensor(DType.BF16, 30, 136), weights, handle, plain));
    refused(
        "y must be BF16",
        "FLOAT32",
        wrong.combine(wrong.tensor(DType.FLOAT32, 3, 10, 136), weights, handle, plain));
    refused(
        "topkWeights must be FLOAT32[" + tokens + ", 3]",
        "[" + (tokens + 1) + ", 3]",
        wrong.combine(y, wrong.tensor(DType.FLOAT32, tokens + 1, 3), handle, plain));
    refused(
        "topkWeights must be FLOAT32[" + tokens + ", 3]",
        "INT32",
        wrong.combine(y, wrong.tensor(DType.INT32, tokens, 3), handle, plain));
    refused(
        "into must be BF16[" + tokens + ", 136]",
        "[" + tokens + ", 128]",
        wrong.combine(y, weights, handle, plain.into(wrong.tensor(DType.BF16, tokens, 128))));
    refused(
        "LogFMT-10 needs a hidden size that is a multiple of 512",
        136,
        wrong.combine(y, weights, handle, plain.logFmt()));
  }

  @Test
  void shouldNameTheMissingOption_whenTheBufferHasNoLowLatencyMode() {
    BufferOptions options = BufferOptions.of(4, 64, 5).maxTopk(2);
    LowLatencyGroup.run(
        2,
        options,
        member ->
            refused(
                "lowLatencyDispatch needs BufferOptions.lowLatency()",
                "made without",
                new Wrong(member)
                    .dispatch(
                        new Wrong(member).tensor(DType.BF16, 1, 64),
                        new Wrong(member).tensor(DType.INT64, 1, 2),
                        LowLatencyDispatchOptions.defaults())));
  }

  @Test
  void shouldRefuseAForeignHandle_whenItIsOfAnotherBuffer() {
    LowLatencyGroup.run(
        SHAPE.numRanks(),
        LowLatencyShapes.options(SHAPE),
        member -> {
          try (Buffer other = Buffer.create(member.group(), LowLatencyShapes.options(SHAPE));
              LowLatencyDispatch sent =
                  member.rank().dispatch(ROUND, LowLatencyDispatchOptions.defaults())) {
            refused(
                "lowLatencyCombineInput was given a handle of another buffer",
                "",
                () -> other.lowLatencyCombineInput(sent.handle(), null));
            member.meet();
          }
        });
  }

  @Test
  void shouldSayBothCallsOnEveryRank_whenRanksQuantizeDifferently() {
    Shape shape = new Shape(3, 6, 5, 128, 3);
    LowLatencyRound round = LowLatencyRound.of(shape, Routing.SPREAD, new SplittableRandom(5));
    LowLatencyGroup.run(
        shape.numRanks(),
        LowLatencyShapes.options(shape),
        member -> {
          LowLatencyDispatchOptions options = LowLatencyDispatchOptions.defaults();
          LowLatencyDispatchOptions mine =
              member.number() == 1 ? options.quantize(Quantization.PLAIN) : options;
          assertThatThrownBy(() -> member.rank().dispatch(round, mine).event().synchronize())
              .isInstanceOfSatisfying(
                  EpException.class, e -> assertThat(e.code()).isEqualTo(EpException.Code.MISMATCH))
              .hasMessageContaining("cast PLAIN")
              .hasMessageContaining("BF16 rows");
          member.meet();
        });
  }
}
