package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.fixtures.AllModes;
import io.github.deepep4j.fixtures.BufferRanks;
import io.github.deepep4j.fixtures.CountedRows;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Results, handles, buffers: who may use what until when. */
final class BufferLifecycleTest extends OneRankTest {
  private static final CountedRows ROWS = new CountedRows(3, 6, 64);
  private static final Set<Integer> ALL = Set.of(0, 1, 2);

  @Test
  void shouldRefuseHandle_whenOfAnotherBufferOrClosed() {
    try (LocalGroup second = LocalGroup.create(1).get(0);
        Buffer other =
            Buffer.builder(second)
                .options(BufferOptions.of(4, 256, 4).maxTopk(2))
                .device(Device.cpu())
                .build();
        var result = buffer.dispatch(x, idx, weights)) {
      DispatchHandle handle = result.handle();
      refused(() -> other.combine(x, handle), "combine was given a handle of another buffer");
      refused(() -> other.dispatch(x, handle, options()), "handle of another buffer");
      handle.close();
      assertThat(handle.isClosed()).isTrue();
      refusedState(
          () -> buffer.combine(x, handle), "combine was given a closed handle", "dispatch #");
      refusedState(() -> buffer.dispatch(x, handle, options()), "closed handle");
      refusedState(
          () -> buffer.combineInput(handle, null), "combineInput was given a closed handle");
      handle.close();
      assertThat(buffer.statistics().openHandles()).isZero();
    }
  }

  @Test
  void shouldRefuseResult_whenClosed() {
    DispatchResult result = buffer.dispatch(x, idx, weights);
    Tensor rows = result.x();
    result.handle().close();
    result.receive();
    assertThat(result.isReceived()).isTrue();
    result.close();
    result.close();
    assertThat(result.isClosed()).isTrue();
    refusedState(result::x, "dispatch #", "is closed");
    refusedState(result::receive, "is closed");
    refusedState(rows::toShorts, "the tensor is of a closed result: dispatch #");
    refusedState(() -> buffer.dispatch(rows, idx, null), "x cannot be read", "closed result");
  }

  @Test
  void shouldRefuseInput_whenItsMemoryWasFreed() {
    Tensor freed = Tensor.zeros(DType.BF16, 3, HIDDEN);
    freed.close();
    refusedState(() -> buffer.dispatch(freed, idx, weights), "x cannot be read", "freed");
    try (var result = buffer.dispatch(x, idx, weights);
        var handle = result.handle()) {
      refusedState(() -> buffer.combine(freed, handle), "y cannot be read");
      refusedState(
          () -> buffer.combine(x, handle, CombineOptions.defaults().bias(freed)),
          "bias cannot be read");
    }
  }

  @Test
  void shouldRefuseEveryCall_whenBufferIsClosed() {
    DispatchResult result = buffer.dispatch(x, idx, weights);
    Tensor rows = result.x();
    CombineResult sums = buffer.combine(rows, result.handle());
    Tensor combined = sums.combined();
    buffer.close();
    buffer.close();
    assertThat(buffer.isClosed()).isTrue();
    assertThat(result.handle().isClosed()).isTrue();
    refusedState(() -> buffer.dispatch(x, idx, weights), "dispatch on a closed buffer");
    refusedState(() -> buffer.combine(x, result.handle()), "combine on a closed buffer");
    refusedState(() -> buffer.dispatchLayout(idx), "dispatchLayout on a closed buffer");
    refusedState(buffer::statistics, "statistics on a closed buffer");
    refusedState(buffer::check, "check on a closed buffer");
    refusedState(buffer::warmUp, "warmUp on a closed buffer");
    refusedState(() -> buffer.mask(0), "mask on a closed buffer");
    refusedState(result::x, "the buffer of dispatch #", "is closed");
    refusedState(rows::toShorts, "closed result");
    refusedState(combined::toShorts, "closed result");
    result.close();
    sums.close();
    result.handle().close();
  }

  @Test
  void shouldNameTheOpenResults_whenNoRegionIsFree() {
    DispatchResult first = buffer.dispatch(x, idx, weights);
    DispatchResult second = buffer.dispatch(x, idx, weights);
    refusedState(
        () -> buffer.dispatch(x, idx, weights),
        "no free dispatch region for dispatch #",
        "2 in use by dispatch #1, dispatch #2");
    refusedState(() -> buffer.dispatch(x, first.handle(), options()), "for cached dispatch #");
    first.close();
    buffer.dispatch(x, idx, weights).close();
    second.close();
    Tensor one = buffer.combineInput(first.handle(), null);
    Tensor two = buffer.combineInput(second.handle(), null);
    refusedState(
        () -> buffer.combine(x, first.handle()), "no free expert output region", "input for");
    // A handle that is closed without its combine gives what was handed out for it back.
    second.handle().close();
    buffer.combine(x, first.handle()).close();
    assertThat(one.shape()).containsExactly(3, HIDDEN);
    refusedState(two::toShorts, "closed result");
    buffer.combine(one, first.handle()).close();
    refusedState(one::toShorts, "closed result");
  }

  @Test
  void shouldSayHowMany_whenNoHandleIsFree() {
    reopen(BufferOptions.of(4, 256, 4).maxTopk(2).maxOpenHandles(2));
    try (var first = buffer.dispatch(x, idx, weights)) {
      buffer.dispatch(x, idx, weights).close();
      refusedState(() -> buffer.dispatch(x, idx, weights), "no free handle: 2 are open");
      first.handle().close();
    }
  }

  @Test
  void shouldRefuseAccessor_whenFormLacksTheTensor() {
    try (var exact = buffer.dispatch(x, idx, null);
        var handle = exact.handle()) {
      refusedState(exact::scales, "dispatch #", "has no scales");
      refusedState(exact::topkWeights, "has no topkWeights");
      refusedState(exact::expertOffsets, "has no expertOffsets");
      refusedState(exact::weight, "has no weight");
      refusedState(exact::numReceivedTensor, "has no numReceived tensor");
      try (var cached = buffer.dispatch(x, handle, options())) {
        refusedState(cached::topkIdx, "cached dispatch #", "has no topkIdx");
        refusedState(cached::rankPrefix, "has no rankPrefix");
        refusedState(cached::tokensPerExpert, "has no tokensPerExpert");
      }
      try (var sums = buffer.combine(exact.x(), handle)) {
        refusedState(sums::topkWeights, "combine #", "has no topkWeights");
      }
    }
    try (var major = buffer.dispatch(x, idx, weights, options().expertMajor(1));
        var handle = major.handle()) {
      refusedState(major::topkIdx, "has no topkIdx");
      refusedState(major::rankPrefix, "has no rankPrefix");
      assertThat(handle.rowOrder()).isEqualTo(RowOrder.EXPERT_MAJOR);
    }
    try (var bounded = buffer.dispatch(x, idx, weights, options().maxReceivedTokens(4));
        var handle = bounded.handle()) {
      refusedState(bounded::numReceived, "bounded form");
      refusedState(bounded::tokensPerExpert, "has no tokensPerExpert on the host");
      assertThat(bounded.numReceivedTensor().toInts()).containsExactly(3);
      assertThat(handle.numTopk()).isEqualTo(2);
    }
  }

  @Test
  void shouldWaitForTheCorrectedCall_whenOneRankIsRefused() {
    var rows = new CountedRows(3, 6, 64);
    BufferRanks.run(
        3,
        BufferOptions.of(6, 64, 8).maxTopk(2),
        my -> {
          DispatchResult held = my.buffer.dispatch(rows.x(my.rank), rows.topkIdx(my.rank), null);
          DispatchResult kept = my.buffer.dispatch(rows.x(my.rank), rows.topkIdx(my.rank), null);
          if (my.rank != 1) {
            held.close();
          } else {
            // The others are in their third dispatch while this rank makes its mistakes.
            try (Tensor wide = Tensor.zeros(DType.BF16, rows.tokens(1), 72)) {
              refused(() -> my.buffer.dispatch(wide, rows.topkIdx(1), null), "144");
            }
            refusedState(
                () -> my.buffer.dispatch(rows.x(1), rows.topkIdx(1), rows.topkWeights(1)),
                "no free dispatch region",
                "dispatch #1, dispatch #2");
            Thread.sleep(50);
            held.close();
          }
          try (var third =
              my.buffer.dispatch(
                  rows.x(my.rank), rows.topkIdx(my.rank), rows.topkWeights(my.rank))) {
            rows.assertReceived(third, my.rank, Set.of(0, 1, 2), Set.of());
          }
          kept.close();
        });
  }

  @Test
  void shouldSendAndSum_whenAllModes() {
    BufferRanks.run(
        3,
        BufferOptions.of(6, 64, 8).maxTopk(2).lowLatency(),
        my -> {
          for (int round = 0; round < 5; round++) {
            try (var result = AllModes.dispatch(ROWS, my.buffer, my.rank);
                var handle = result.handle()) {
              ROWS.assertReceived(result, my.rank, ALL, Set.of());
              try (var sums = my.buffer.combine(CountedRows.copyOfRows(result.x()), handle)) {
                ROWS.assertCombined(sums.combined(), my.rank, ALL);
              }
            }
            try (var result =
                my.buffer.lowLatencyDispatch(ROWS.x(my.rank), ROWS.topkIdx(my.rank))) {
              ROWS.assertReceived(result, my.rank, ALL);
              try (var sums =
                  my.buffer.lowLatencyCombine(
                      CountedRows.copyOfRows(result.x()),
                      ROWS.topkWeights(my.rank),
                      result.handle())) {
                ROWS.assertLowLatencyCombined(sums.combined(), my.rank, ALL);
              }
            }
          }
        });
  }

  @Test
  void shouldRefuseASecondThread_whenACallIsUnderWay() throws InterruptedException {
    var inside = new java.util.concurrent.CountDownLatch(1);
    var leave = new java.util.concurrent.CountDownLatch(1);
    TensorAllocator slow =
        (dtype, shape) -> {
          inside.countDown();
          try {
            leave.await();
          } catch (InterruptedException e) {
            throw new IllegalStateException(e);
          }
          return Tensor.allocate(dtype, shape);
        };
    Thread first =
        new Thread(
            () -> {
              try (var result = buffer.dispatch(x, idx, null, options().allocator(slow));
                  var handle = result.handle()) {
                assertThat(handle.isClosed()).isFalse();
                result.x().close();
              }
            },
            "first-user");
    first.start();
    inside.await();
    try {
      refusedState(
          () -> buffer.dispatch(x, idx, null), "dispatch on thread", "first-user", "one thread at");
      refusedState(buffer::close, "close on thread", "first-user");
    } finally {
      leave.countDown();
      first.join();
    }
  }

  @Test
  void shouldRefuseACallFromInside_whenAnAllocatorUsesTheBuffer() {
    TensorAllocator calling =
        (dtype, shape) -> {
          buffer.check();
          return Tensor.allocate(dtype, shape);
        };
    refusedState(
        () -> buffer.dispatch(x, idx, null, options().allocator(calling)),
        "check was called from inside another call");
  }

  @Test
  void shouldReceiveOnce_whenHookIsCalledTwiceAndFromAnotherThread() throws InterruptedException {
    try (var result = buffer.dispatch(x, idx, weights, options().hook());
        var handle = result.handle()) {
      assertThat(result.isReceived()).isFalse();
      assertThat(result.event().isComplete()).isTrue();
      Thread other = new Thread(result::receive);
      other.start();
      other.join();
      assertThat(result.isReceived()).isTrue();
      result.receive();
      assertThat(result.sourceToken().toInts()).containsExactly(0, 1, 2);
      try (var sums = buffer.combine(result.x(), handle, CombineOptions.defaults().hook())) {
        assertThat(sums.isReceived()).isFalse();
        assertThat(sums.combined().shape()).containsExactly(3, HIDDEN);
        assertThat(sums.isReceived()).isTrue();
      }
    }
  }
}
