package io.github.deepep4j.gpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.Buffer;
import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CombineOptions;
import io.github.deepep4j.CombineResult;
import io.github.deepep4j.DeviceMemory;
import io.github.deepep4j.DispatchHandle;
import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.DispatchResult;
import io.github.deepep4j.fixtures.Expect;
import io.github.deepep4j.fixtures.GlobalInput;
import io.github.deepep4j.fixtures.HostTensors;
import io.github.deepep4j.fixtures.Inputs;
import io.github.deepep4j.fixtures.RoutingShape;
import io.github.deepep4j.fixtures.TestDevice;
import io.github.deepep4j.group.LocalGroup;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Streams, events, memory and lifetimes on a GPU. */
@Tag("gpu")
final class CudaStreamTest {
  private static final int HIDDEN = 512;
  private static final BufferOptions OPTIONS = BufferOptions.of(8, HIDDEN, 64);

  private static GlobalInput input(long seed, int numRanks) {
    SplittableRandom random = new SplittableRandom(seed);
    int[] tokens = new int[numRanks];
    java.util.Arrays.fill(tokens, 48);
    return Inputs.draw(
        random, new Inputs.Shape(numRanks, 8, 2, HIDDEN, RoutingShape.UNIFORM), tokens);
  }

  @Test
  void shouldKeepEveryBit_whenTensorsGoToTheDeviceAndBack() {
    short[] bits = new short[4096];
    for (int i = 0; i < bits.length; i++) {
      bits[i] = (short) (i * 31);
    }
    try (Tensor host = Tensor.copyOf(bits, 64, 64);
        Tensor device = DeviceMemory.copyOf(host, TestDevice.gpu(0));
        Tensor second = DeviceMemory.copyOf(device, TestDevice.gpu(0));
        Tensor back = DeviceMemory.toHost(second)) {
      assertThat(device.device()).isEqualTo(TestDevice.gpu(0));
      assertThat(back.toShorts()).isEqualTo(bits);
    }
  }

  @Test
  void shouldOrderTheCalls_whenEachNamesAnotherStream() {
    GlobalInput input = input(11, 2);
    LocalGroup.run(
        2,
        group -> {
          // The second buffer lends its stream, and is used itself in between.
          try (Buffer buffer = TestDevice.build(group, OPTIONS, TestDevice.gpu(group.rank()));
              Buffer other = TestDevice.build(group, OPTIONS, TestDevice.gpu(group.rank()));
              HostTensors memory = new HostTensors()) {
            short[][] mine = input.rank(group.rank()).x();
            Tensor x = memory.bf16(mine, HIDDEN);
            Tensor topkIdx = memory.indices(input.rank(group.rank()).topkIdx(), 2, DType.INT64);
            for (int i = 0; i < 50; i++) {
              DispatchOptions options = DispatchOptions.defaults();
              options = i % 2 == 0 ? options.stream(other.stream()) : options;
              try (DispatchResult rows = buffer.dispatch(x, topkIdx, null, options);
                  DispatchHandle handle = rows.handle();
                  DispatchResult again =
                      other.dispatch(
                          x,
                          topkIdx,
                          null,
                          DispatchOptions.defaults().previousEvent(rows.event()));
                  DispatchHandle otherHandle = again.handle();
                  CombineResult sums =
                      buffer.combine(
                          rows.x(),
                          handle,
                          CombineOptions.defaults().previousEvent(again.event()))) {
                sums.event().synchronize();
                assertThat(sums.event().isComplete()).isTrue();
                assertThat(otherHandle.numTokens()).isEqualTo(48);
                try (Tensor host = DeviceMemory.toHost(sums.combined())) {
                  Expect.bf16("round " + i, doubled(input, group.rank()), HIDDEN, host);
                }
              }
            }
          }
        });
  }

  /** Each row times the number of ranks it went to, which is 1 or 2: exact in BF16. */
  private static short[][] doubled(GlobalInput input, int rank) {
    short[][] x = input.rank(rank).x();
    short[][] sums = new short[x.length][];
    for (int token = 0; token < x.length; token++) {
      boolean[] ranks = new boolean[input.numRanks()];
      for (long expert : input.rank(rank).topkIdx()[token]) {
        if (expert >= 0) {
          ranks[input.rankOf(expert)] = true;
        }
      }
      sums[token] = x[token].clone();
      for (int i = 0; i < sums[token].length; i++) {
        boolean zero = (sums[token][i] & 0x7FFF) == 0;
        if (zero) {
          sums[token][i] = 0; // +0 is what every sum starts at
        } else if (ranks[0] && ranks[1]) {
          sums[token][i] = (short) (sums[token][i] + (1 << 7)); // the next exponent
        }
      }
    }
    return sums;
  }

  @Test
  void shouldFreeTheWindows_whenAllRanksHaveClosed() {
    for (int i = 0; i < 5; i++) {
      LocalGroup.run(
          4,
          group -> {
            try (Buffer buffer = TestDevice.build(group, OPTIONS, TestDevice.gpu(group.rank()))) {
              buffer.warmUp();
              group.barrier();
            }
          });
    }
    LocalGroup.run(
        1,
        group -> {
          try (Buffer buffer = TestDevice.build(group, OPTIONS, TestDevice.gpu(0))) {
            assertThat(buffer.statistics().abandonedBytes()).isZero();
            assertThat(buffer.statistics().windowBytes()).isPositive();
          }
        });
  }

  @Test
  void shouldKeepManyEventsTrue_whenTheirRecordingsWereUsedAgain() {
    GlobalInput input = input(12, 1);
    LocalGroup.run(
        1,
        group -> {
          try (Buffer buffer = TestDevice.build(group, OPTIONS, TestDevice.gpu(0));
              HostTensors memory = new HostTensors()) {
            Tensor x = memory.bf16(input.rank(0).x(), HIDDEN);
            Tensor topkIdx = memory.indices(input.rank(0).topkIdx(), 2, DType.INT64);
            try (DispatchResult first = buffer.dispatch(x, topkIdx, null);
                DispatchHandle handle = first.handle()) {
              var event = first.event();
              event.synchronize();
              for (int i = 0; i < 700; i++) {
                buffer.dispatch(x, handle, DispatchOptions.defaults()).close();
              }
              event.synchronize();
              assertThat(event.isComplete()).isTrue();
            }
          }
        });
  }
}
