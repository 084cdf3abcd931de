package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.fixtures.CountedRows;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * Rules about the arguments of normal-mode calls, which the host checks before the call enters the
 * collective: each is refused with the rule and the value.
 */
final class BufferArgumentsTest extends OneRankTest {
  private void refusedX(Tensor bad, String... words) {
    try (bad) {
      refused(() -> buffer.dispatch(bad, idx, weights), words);
    }
  }

  private void refusedIdx(Tensor bad, String... words) {
    try (bad) {
      refused(() -> buffer.dispatch(x, bad, null), words);
    }
  }

  @Test
  void shouldRefuseRows_whenTheyDoNotFitTheBuffer() {
    refusedX(Tensor.zeros(DType.BF16, 3 * HIDDEN), "x must have 2 dimensions", "BF16[768]");
    refusedX(Tensor.zeros(DType.BF16, 3, 12), "multiple of 16 bytes", "24");
    refusedX(Tensor.zeros(DType.BF16, 3, 0), "multiple of 16 bytes", "0");
    refusedX(Tensor.zeros(DType.FP8_E4M3, 3, 24), "multiple of 16 bytes", "24");
    refusedX(Tensor.zeros(DType.BF16, 3, HIDDEN + 8), "at most the buffer's 512 bytes", "528");
    refusedX(Tensor.zeros(DType.FLOAT32, 3, HIDDEN), "x must be BF16 or FP8_E4M3", "FLOAT32");
    refusedX(Tensor.zeros(DType.BF16, 5, HIDDEN), "T must be <= maxTokensPerRank 4", "5");
    refusedX(
        Tensor.zeros(DType.BF16, 3, 2 * HIDDEN)
            .view(new long[] {3, HIDDEN}, new long[] {2 * HIDDEN, 1}),
        "x must be contiguous");
    refusedX(
        Tensor.ofAddress(64, DType.BF16, Device.cuda(0), null, 3, HIDDEN),
        "x must be on the buffer's device cpu",
        "cuda:0");
  }

  @Test
  void shouldRefuseRouting_whenItDoesNotFitRowsOrBuffer() {
    refusedIdx(Tensor.zeros(DType.INT64, 2, 2), "topkIdx must have the 3 tokens of x", "[2, 2]");
    refusedIdx(Tensor.zeros(DType.INT64, 3, 3), "K must be from 1 to the buffer's maxTopk 2", "3");
    refusedIdx(Tensor.zeros(DType.INT64, 3, 33), "(at most 32)", "33");
    refusedIdx(Tensor.zeros(DType.INT64, 3, 0), "K must be from 1", "0");
    refusedIdx(Tensor.zeros(DType.FLOAT32, 3, 2), "topkIdx must be INT64 or INT32", "FLOAT32");
    refusedIdx(Tensor.zeros(DType.INT64, 3), "topkIdx must have 2 dimensions");
    refusedIdx(
        Tensor.zeros(DType.INT64, 2, 3).view(new long[] {3, 2}, new long[] {1, 3}),
        "topkIdx must be contiguous");
    refused(() -> BufferOptions.of(4, 64, 4).maxTopk(33), "maxTopk must be <= 32", "33");
    try (Tensor five = Tensor.zeros(DType.INT64, 5, 2)) {
      refused(() -> buffer.dispatchLayout(five), "T must be <= maxTokensPerRank 4", "5");
    }
  }

  @Test
  void shouldRefuseWeights_whenShapeOrTypeIsNotTheRoutings() {
    for (Tensor bad :
        List.of(
            Tensor.zeros(DType.FLOAT32, 3, 1),
            Tensor.zeros(DType.BF16, 3, 2),
            Tensor.zeros(DType.FLOAT32, 6))) {
      try (bad) {
        refused(() -> buffer.dispatch(x, idx, bad), "topkWeights must", bad.dtype().name());
      }
    }
  }

  @Test
  void shouldRefuseScales_whenRowsOrShapeDoNotAllowThem() {
    try (Tensor fp8 = Tensor.zeros(DType.FP8_E4M3, 3, HIDDEN);
        Tensor scales = Tensor.zeros(DType.FLOAT32, 3, 2);
        Tensor many = Tensor.zeros(DType.FLOAT32, 3, 3);
        Tensor few = Tensor.zeros(DType.FLOAT32, 2, 2);
        Tensor bytes = Tensor.zeros(DType.UINT8, 3, 2);
        Tensor gaps = Tensor.zeros(DType.FLOAT32, 6, 4)) {
      refused(() -> buffer.dispatch(x, idx, null, options().scales(scales)), "FP8 rows only");
      refused(() -> buffer.dispatch(fp8, idx, null, options().scales(many)), "S must be", "2", "3");
      refused(() -> buffer.dispatch(fp8, idx, null, options().scales(few)), "3 tokens of x");
      refused(() -> buffer.dispatch(fp8, idx, null, options().scales(bytes)), "FLOAT32 or INT32");
      Tensor strided = gaps.view(new long[] {3, 2}, new long[] {8, 2});
      refused(
          () -> buffer.dispatch(fp8, idx, null, options().scales(strided)),
          "row-major or column-major");
      refused(
          () -> buffer.dispatch(fp8, idx, null, options().quantize(Quantization.PLAIN)),
          "the cast to FP8 takes BF16 rows");
    }
    try (Tensor narrow = Tensor.zeros(DType.BF16, 3, 64)) {
      refused(
          () -> buffer.dispatch(narrow, idx, null, options().quantize(Quantization.UE8M0)),
          "multiple of 128",
          "64");
    }
  }

  @Test
  void shouldRefuseOptions_whenTheCallCannotTakeThem() {
    refused(
        () -> buffer.dispatch(x, idx, null, options().zeroFill()), "zeroFill() needs expert-major");
    refused(
        () -> buffer.dispatch(x, idx, null, options().expertMajor(16)),
        "expertAlignment must be <= maxExpertAlignment 8",
        "16");
    refused(
        () -> buffer.dispatch(x, idx, null, options().maxReceivedTokens(5)),
        "maxReceivedTokens must be <= the receive capacity 4",
        "5");
    refused(
        () -> buffer.dispatch(x, idx, null, options().stream(new Stream(Device.cuda(0), 7))),
        "the stream must be of the buffer's device cpu");
    refused(() -> options().maxReceivedTokens(-1), "maxReceivedTokens must be >= 0", "-1");
    refused(() -> options().expertAlignment(0), "expertAlignment must be >= 1", "0");
    refused(() -> options().numSms(0), "numSms must be >= 1", "0");
    refused(
        () -> options().timeout(java.time.Duration.ZERO), "timeout must be more than zero", "PT0S");
    refused(() -> new Stream(Device.cuda(0), 0), "legacy default stream");
    reopen(BufferOptions.of(4, 256, 4).maxTopk(2));
    refused(
        () -> buffer.dispatch(x, idx, null, options().expertMajor(1)),
        "needs BufferOptions.expertMajor()");
  }

  @Test
  void shouldRefuseInto_whenItCannotTakeTheRows() {
    try (Tensor wrongType = Tensor.zeros(DType.FLOAT32, 4, HIDDEN);
        Tensor wrongWidth = Tensor.zeros(DType.BF16, 4, 64);
        Tensor few = Tensor.zeros(DType.BF16, 2, HIDDEN);
        Tensor fp8 = Tensor.zeros(DType.FP8_E4M3, 4, HIDDEN);
        Tensor oneScale = Tensor.zeros(DType.FLOAT32, 4, 1)) {
      refused(() -> buffer.dispatch(x, idx, null, options().into(wrongType)), "into must be BF16");
      refused(() -> buffer.dispatch(x, idx, null, options().into(wrongWidth)), "rows of 256");
      refused(
          () -> buffer.dispatch(x, idx, null, options().maxReceivedTokens(3).into(few)),
          "into must have at least 3 rows");
      refused(
          () ->
              buffer.dispatch(
                  x, idx, null, options().quantize(Quantization.PLAIN).into(fp8, oneScale)),
          "the call's 2 scale words");
      // How many rows arrive is only known in the collective: there it is a matter of capacity.
      assertThatThrownBy(() -> buffer.dispatch(x, idx, null, options().into(few)))
          .isInstanceOf(io.github.deepep4j.error.EpCapacityException.class)
          .hasMessageContaining("rank 0 would receive 3 rows, 1 more than its capacity of 2");
    }
  }

  @Test
  void shouldRefuseCombine_whenItDoesNotFitItsDispatch() {
    try (var result = buffer.dispatch(x, idx, weights);
        var handle = result.handle();
        Tensor y = CountedRows.copyOfRows(result.x());
        Tensor two = Tensor.zeros(DType.BF16, 2, HIDDEN);
        Tensor floats = Tensor.zeros(DType.FLOAT32, 3, HIDDEN);
        Tensor odd = Tensor.zeros(DType.BF16, 3, 9)) {
      CombineOptions call = CombineOptions.defaults();
      refused(() -> buffer.combine(two, handle), "y must have the 3 rows that the dispatch");
      refused(() -> buffer.combine(floats, handle), "y must be BF16");
      refused(() -> buffer.combine(odd, handle), "multiple of 16 bytes", "18");
      refused(() -> buffer.combine(y, handle, call.bias(two)), "bias must be BF16[3, 256]");
      refused(() -> buffer.combine(y, handle, call.bias(x, two)), "second bias must be");
      refused(() -> buffer.combine(y, handle, call.into(two)), "into must be BF16[3, 256]");
      refused(
          () -> buffer.combine(y, handle, call.topkWeights(two)), "topkWeights must be FLOAT32");
      refused(() -> buffer.combine(y, handle, call.weighted()), "weighted() needs an expert-major");
    }
    try (var result = buffer.dispatch(x, idx, null, options().expertMajor(1));
        var handle = result.handle()) {
      refused(
          () -> buffer.combine(result.x(), handle, CombineOptions.defaults().weighted()),
          "needs a dispatch that was given topkWeights");
    }
    try (var result = buffer.dispatch(x, idx, weights, options().expertMajor(1));
        var handle = result.handle();
        Tensor gradient = Tensor.zeros(DType.FLOAT32, 5)) {
      var both = CombineOptions.defaults().weighted().topkWeights(gradient);
      refused(() -> buffer.combine(result.x(), handle, both), "gives no weight gradient");
    }
  }

  @Test
  void shouldRefuseCachedDispatch_whenItDoesNotFitItsHandle() {
    try (var result = buffer.dispatch(x, idx, weights);
        var handle = result.handle();
        Tensor two = Tensor.zeros(DType.BF16, 2, HIDDEN);
        Tensor few = Tensor.zeros(DType.BF16, 2, HIDDEN)) {
      refused(() -> buffer.dispatch(two, handle, options()), "the 3 tokens of its handle");
      refused(
          () -> buffer.dispatch(x, handle, options().maxReceivedTokens(3)),
          "bound from the handle");
      refused(() -> buffer.dispatch(x, handle, options().expertMajor(1)), "asks for expert-major");
      refused(() -> buffer.dispatch(x, handle, options().zeroFill()), "the handle is rank-major");
      refused(() -> buffer.dispatch(x, handle, options().into(few)), "at least 3 rows");
    }
  }

  @Test
  void shouldRefuseModes_whenTheBufferHasNoRegionsForThem() {
    refused(() -> buffer.lowLatencyDispatch(x, idx), "needs BufferOptions.lowLatency()");
    refused(() -> buffer.mask(0), "a rank cannot mask itself", "0");
    refused(() -> buffer.mask(1), "rank must be from 0 to 0", "1");
    refused(() -> buffer.unmask(-1), "rank must be from 0 to 0", "-1");
  }
}
