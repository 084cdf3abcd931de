package io.github.deepep4j.internal.memory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class OffHeapTest {
  @ParameterizedTest(name = "offset {0}")
  @ValueSource(ints = {0, 1, 3, 7})
  void shouldReadWhatWasWritten_whenAlignedOrNot(int offset) {
    try (Memory memory = OffHeap.allocate(64)) {
      long at = memory.address() + offset;
      OffHeap.putByte(at, (byte) 0x81);
      assertThat(OffHeap.getByte(at)).isEqualTo((byte) 0x81);
      OffHeap.putShort(at, (short) 0x8123);
      assertThat(OffHeap.getShort(at)).isEqualTo((short) 0x8123);
      OffHeap.putInt(at, 0x81234567);
      assertThat(OffHeap.getInt(at)).isEqualTo(0x81234567);
      OffHeap.putLong(at, 0x8123456789abcdefL);
      assertThat(OffHeap.getLong(at)).isEqualTo(0x8123456789abcdefL);
      OffHeap.putFloat(at, -0.1f);
      assertThat(OffHeap.getFloat(at)).isEqualTo(-0.1f);
    }
  }

  @Test
  void shouldStoreLittleEndian_whenWritingAWord() {
    try (Memory memory = OffHeap.allocate(8)) {
      OffHeap.putLong(memory.address(), 0x0807060504030201L);
      for (int i = 0; i < 8; i++) {
        assertThat(OffHeap.getByte(memory.address() + i)).isEqualTo((byte) (i + 1));
      }
    }
  }

  @Test
  void shouldKeepANaNsPayload_whenMovingAFloat() {
    try (Memory memory = OffHeap.allocate(8)) {
      OffHeap.putInt(memory.address(), 0x7fc12345);
      assertThat(Float.floatToRawIntBits(OffHeap.getFloat(memory.address()))).isEqualTo(0x7fc12345);
    }
  }

  @Test
  void shouldPassAMessage_whenReleasedAndAcquired() throws InterruptedException {
    int rounds = 20_000;
    try (Memory memory = OffHeap.allocate(256)) {
      OffHeap.fill(memory.address(), 256, (byte) 0);
      long ping = memory.address();
      long pong = ping + 64;
      long data = ping + 128;
      Thread echo =
          new Thread(
              () -> {
                for (int i = 1; i <= rounds; i++) {
                  await(ping, i);
                  OffHeap.putLong(data + 8, ~OffHeap.getLong(data));
                  OffHeap.putLongRelease(pong, i);
                }
              });
      echo.start();
      long wrong = 0;
      for (int i = 1; i <= rounds; i++) {
        OffHeap.putLong(data, i * 31L);
        OffHeap.putLongRelease(ping, i);
        await(pong, i);
        wrong += OffHeap.getLong(data + 8) == ~(i * 31L) ? 0 : 1;
      }
      echo.join();
      assertThat(wrong).isZero();
    }
  }

  private static void await(long word, long value) {
    for (int spins = 0; OffHeap.getLongAcquire(word) != value; spins++) {
      if (spins > 1000) {
        LockSupport.parkNanos(1);
      } else {
        Thread.onSpinWait();
      }
    }
  }

  @Test
  void shouldCountEveryIncrement_whenThreadsCompareAndSet() throws InterruptedException {
    try (Memory memory = OffHeap.allocate(8)) {
      long word = memory.address();
      OffHeap.putLong(word, 0);
      Runnable count =
          () -> {
            for (int i = 0; i < 10_000; i++) {
              long seen;
              do {
                seen = OffHeap.getLongAcquire(word);
              } while (!OffHeap.compareAndSetLong(word, seen, seen + 1));
            }
          };
      Thread other = new Thread(count);
      other.start();
      count.run();
      other.join();
      assertThat(OffHeap.getLong(word)).isEqualTo(20_000);
      assertThat(OffHeap.compareAndSetLong(word, 1, 2)).isFalse();
    }
  }

  @ParameterizedTest(name = "{0} bytes")
  @ValueSource(ints = {0, 1, 7, 8, 63, 64, 65, 4096, 14_336, 100_003})
  void shouldCopyLikeMemmove_whenRangesOverlap(int bytes) {
    byte[] pattern = new byte[bytes + 9];
    for (int i = 0; i < pattern.length; i++) {
      pattern[i] = (byte) (i * 7 + 1);
    }
    for (int shift : new int[] {-9, -1, 0, 1, 8, 9}) {
      try (Memory memory = OffHeap.allocate(bytes + 18L)) {
        long from = memory.address() + 9;
        OffHeap.copyFromArray(pattern, 0, from, bytes);
        OffHeap.copy(from, from + shift, bytes);
        byte[] seen = new byte[bytes];
        OffHeap.copyToArray(from + shift, seen, 0, bytes);
        assertThat(seen).isEqualTo(java.util.Arrays.copyOf(pattern, bytes));
      }
    }
  }

  @Test
  void shouldCopyEveryArrayType_whenAtAnIndexAndUnaligned() {
    try (Memory memory = OffHeap.allocate(128)) {
      long at = memory.address() + 5;
      byte[] bytes = {1, -2, 3, -4};
      OffHeap.copyFromArray(bytes, 1, at, 2);
      byte[] bytesBack = new byte[4];
      OffHeap.copyToArray(at, bytesBack, 2, 2);
      assertThat(bytesBack).containsExactly(0, 0, -2, 3);

      short[] shorts = {1, -2, 3, -4};
      OffHeap.copyFromArray(shorts, 1, at, 2);
      short[] shortsBack = new short[4];
      OffHeap.copyToArray(at, shortsBack, 2, 2);
      assertThat(shortsBack).containsExactly((short) 0, (short) 0, (short) -2, (short) 3);

      int[] ints = {1, -2, 3, -4};
      OffHeap.copyFromArray(ints, 1, at, 2);
      int[] intsBack = new int[4];
      OffHeap.copyToArray(at, intsBack, 2, 2);
      assertThat(intsBack).containsExactly(0, 0, -2, 3);

      long[] longs = {1, -2, 3, -4};
      OffHeap.copyFromArray(longs, 1, at, 2);
      long[] longsBack = new long[4];
      OffHeap.copyToArray(at, longsBack, 2, 2);
      assertThat(longsBack).containsExactly(0, 0, -2, 3);

      float[] floats = {1, -2, 3, -4};
      OffHeap.copyFromArray(floats, 1, at, 2);
      float[] floatsBack = new float[4];
      OffHeap.copyToArray(at, floatsBack, 2, 2);
      assertThat(floatsBack).containsExactly(0, 0, -2, 3);
    }
  }

  @Test
  void shouldRefuse_whenTheArrayHasNoSuchRange() {
    try (Memory memory = OffHeap.allocate(64)) {
      long at = memory.address();
      assertThatThrownBy(() -> OffHeap.copyToArray(at, new short[4], 3, 2))
          .isInstanceOf(IndexOutOfBoundsException.class);
      assertThatThrownBy(() -> OffHeap.copyToArray(at, new byte[4], -1, 2))
          .isInstanceOf(IndexOutOfBoundsException.class);
      assertThatThrownBy(() -> OffHeap.copyFromArray(new float[4], 0, at, 5))
          .isInstanceOf(IndexOutOfBoundsException.class);
      assertThatThrownBy(() -> OffHeap.copyFromArray(new long[4], 0, at, -1))
          .isInstanceOf(IndexOutOfBoundsException.class);
    }
  }

  @Test
  void shouldFillOnlyTheRange_whenFilling() {
    try (Memory memory = OffHeap.allocate(32)) {
      OffHeap.fill(memory.address(), 32, (byte) 1);
      OffHeap.fill(memory.address() + 3, 13, (byte) 0xff);
      byte[] seen = new byte[32];
      OffHeap.copyToArray(memory.address(), seen, 0, 32);
      for (int i = 0; i < 32; i++) {
        assertThat(seen[i]).isEqualTo((byte) (i >= 3 && i < 16 ? 0xff : 1));
      }
    }
  }

  @ParameterizedTest(name = "{0} bytes")
  @ValueSource(longs = {0, 1, 63, 64, 65, 1 << 20, (1L << 31) + 4096})
  void shouldAlignTo64_whenAllocating(long bytes) {
    long liveBytes = OffHeap.liveBytes();
    long liveAllocations = OffHeap.liveAllocations();
    try (Memory memory = OffHeap.allocate(bytes)) {
      assertThat(memory.address()).isPositive();
      assertThat(memory.address() % 64).isZero();
      assertThat(memory.bytes()).isEqualTo(bytes);
      assertThat(OffHeap.liveBytes()).isEqualTo(liveBytes + bytes);
      assertThat(OffHeap.liveAllocations()).isEqualTo(liveAllocations + 1);
      if (bytes > 0) {
        // The ends only: the pages between stay untouched, so a large range costs nothing.
        OffHeap.putByte(memory.address(), (byte) 1);
        OffHeap.putByte(memory.address() + bytes - 1, (byte) 2);
        assertThat(OffHeap.getByte(memory.address() + bytes - 1)).isEqualTo((byte) 2);
      }
    }
    assertThat(OffHeap.liveBytes()).isEqualTo(liveBytes);
    assertThat(OffHeap.liveAllocations()).isEqualTo(liveAllocations);
  }

  @Test
  void shouldNotOverlap_whenSeveralAreAllocated() {
    List<Memory> memories = new ArrayList<>();
    for (int i = 0; i < 50; i++) {
      Memory memory = OffHeap.allocate(100);
      OffHeap.fill(memory.address(), 100, (byte) i);
      memories.add(memory);
    }
    for (int i = 0; i < 50; i++) {
      byte[] seen = new byte[100];
      OffHeap.copyToArray(memories.get(i).address(), seen, 0, 100);
      for (byte value : seen) {
        assertThat(value).isEqualTo((byte) i);
      }
    }
    memories.forEach(Memory::close);
  }

  @Test
  void shouldNameTheSize_whenThereIsNoMemory() {
    for (long bytes : new long[] {1L << 60, Long.MAX_VALUE}) {
      assertThatThrownBy(() -> OffHeap.allocate(bytes))
          .isInstanceOf(OutOfMemoryError.class)
          .hasMessageContaining("cannot allocate " + bytes + " bytes");
    }
  }

  @Test
  void shouldRefuse_whenASizeIsNegative() {
    assertThatThrownBy(() -> OffHeap.allocate(-1))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("-1");
    try (Memory memory = OffHeap.allocate(64)) {
      assertThatThrownBy(() -> OffHeap.copy(memory.address(), memory.address(), -2))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("-2");
      assertThatThrownBy(() -> OffHeap.fill(memory.address(), -3, (byte) 0))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("-3");
    }
  }

  @Test
  void shouldFreeOnce_whenManyThreadsClose() throws InterruptedException {
    long liveAllocations = OffHeap.liveAllocations();
    for (int round = 0; round < 100; round++) {
      Memory memory = OffHeap.allocate(64);
      List<Thread> threads =
          IntStream.range(0, 4).mapToObj(i -> new Thread(memory::close)).toList();
      threads.forEach(Thread::start);
      for (Thread thread : threads) {
        thread.join();
      }
    }
    assertThat(OffHeap.liveAllocations()).isEqualTo(liveAllocations);
  }

  @Test
  void shouldRefuseTheAddress_whenClosed() {
    Memory memory = OffHeap.allocate(77);
    memory.close();
    memory.close();
    assertThatThrownBy(memory::address)
        .isInstanceOf(IllegalStateException.class)
        .hasMessageContaining("77 bytes");
    assertThat(memory.bytes()).isEqualTo(77);
  }

  @Test
  void shouldGiveThePositionsAddress_whenABufferIsDirect() {
    ByteBuffer buffer = ByteBuffer.allocateDirect(64).order(ByteOrder.LITTLE_ENDIAN);
    LongStream.range(0, 8).forEach(i -> buffer.putLong((int) i * 8, i * 100));
    buffer.position(16);
    assertThat(OffHeap.getLong(OffHeap.addressOf(buffer))).isEqualTo(200);
    assertThat(OffHeap.addressOf(buffer.slice())).isEqualTo(OffHeap.addressOf(buffer));
    ByteBuffer readOnly = buffer.duplicate().position(24).asReadOnlyBuffer();
    assertThat(OffHeap.getLong(OffHeap.addressOf(readOnly))).isEqualTo(300);
    assertThat(OffHeap.getLong(OffHeap.addressOf(buffer))).isEqualTo(200);
  }

  @Test
  void shouldRefuse_whenABufferIsOnTheHeap() {
    assertThatThrownBy(() -> OffHeap.addressOf(ByteBuffer.allocate(8)))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("heap");
  }
}
