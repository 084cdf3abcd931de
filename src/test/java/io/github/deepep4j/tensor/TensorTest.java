package io.github.deepep4j.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.internal.memory.OffHeap;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Where tensors come from, what they alias, and what they refuse. */
final class TensorTest {
  @ParameterizedTest
  @EnumSource
  void shouldOwnAlignedMemory_whenAllocated(DType dtype) {
    long before = OffHeap.liveBytes();
    Tensor tensor = Tensor.zeros(dtype, 3, 5, 7);
    assertThat(tensor.address() % 64).isZero();
    assertThat(tensor.byteSize()).isEqualTo(105L * dtype.bytes());
    assertThat(tensor.numElements()).isEqualTo(105);
    assertThat(tensor.shape()).containsExactly(3, 5, 7);
    assertThat(tensor.stride(0)).isEqualTo(35);
    assertThat(tensor.stride(2)).isEqualTo(1);
    assertThat(tensor.isContiguous()).isTrue();
    assertThat(tensor.device()).isEqualTo(Device.cpu());
    assertThat(tensor.toString()).isEqualTo(dtype + "[3, 5, 7]@cpu");
    for (long i = 0; i < tensor.byteSize(); i++) {
      assertThat(OffHeap.getByte(tensor.address() + i)).isZero();
    }
    assertThat(OffHeap.liveBytes() - before).isEqualTo(tensor.byteSize());
    tensor.close();
    tensor.close();
    assertThat(OffHeap.liveBytes()).isEqualTo(before);
    assertThatIllegalStateException()
        .isThrownBy(tensor::address)
        .withMessageContaining("freed by close()");
  }

  @Test
  void shouldCopyThereAndBack_whenArraysOfEachType() {
    float[] floats = {1.5f, -0f, Float.NaN, Float.MIN_VALUE, 3, 4};
    int[] ints = {1, -1, Integer.MIN_VALUE, 7, 0, 5};
    long[] longs = {1, -1, Long.MIN_VALUE, 1L << 40, 0, 5};
    short[] halves = {0x3F80, (short) 0x8000, 0x7FFF, 1, 2, 3};
    byte[] bytes = {0, -1, 127, -128, 5, 6};
    try (Tensor f = Tensor.copyOf(floats, 2, 3);
        Tensor i = Tensor.copyOf(ints, 2, 3);
        Tensor l = Tensor.copyOf(longs, 2, 3);
        Tensor h = Tensor.copyOf(halves, 2, 3);
        Tensor b = Tensor.copyOf(DType.FP8_E4M3, bytes, 2, 3);
        Tensor u = Tensor.copyOf(DType.UINT8, bytes, 6)) {
      assertThat(f.toFloats()).containsExactly(floats);
      assertThat(i.toInts()).containsExactly(ints);
      assertThat(l.toLongs()).containsExactly(longs);
      assertThat(h.toShorts()).containsExactly(halves);
      assertThat(b.toBytes()).containsExactly(bytes);
      assertThat(u.toBytes()).containsExactly(bytes);
      assertThat(f.dtype()).isEqualTo(DType.FLOAT32);
      assertThat(h.dtype()).isEqualTo(DType.BF16);
      // Little-endian, and the copy is the caller's own.
      assertThat(OffHeap.getByte(h.address())).isEqualTo((byte) 0x80);
      floats[0] = 9;
      assertThat(f.toFloats()[0]).isEqualTo(1.5f);
      // Four-byte types are seen through either array type, bit by bit.
      assertThat(f.toInts()[0]).isEqualTo(Float.floatToRawIntBits(1.5f));
      assertThat(i.copyFrom(new float[] {1, 2, 3, 4, 5, 6}).toInts()[0]).isEqualTo(0x3F800000);
    }
  }

  @Test
  void shouldRefuseCopies_whenTypeOrNumberDoesNotFit() {
    try (Tensor f = Tensor.zeros(DType.FLOAT32, 2, 3);
        Tensor l = Tensor.zeros(DType.INT64, 2)) {
      assertThatIllegalArgumentException()
          .isThrownBy(() -> f.copyFrom(new float[5]))
          .withMessageContainingAll("float[] of 5 does not fit", "FLOAT32[2, 3]");
      assertThatIllegalArgumentException().isThrownBy(() -> f.copyFrom(new long[6]));
      assertThatIllegalArgumentException().isThrownBy(f::toShorts);
      assertThatIllegalArgumentException().isThrownBy(f::toBytes);
      assertThatIllegalArgumentException().isThrownBy(l::toInts);
      assertThatIllegalArgumentException().isThrownBy(() -> Tensor.copyOf(new int[3], 2, 2));
      Tensor columns = f.view(new long[] {3, 2}, new long[] {1, 3});
      assertThatIllegalArgumentException()
          .isThrownBy(columns::toFloats)
          .withMessageContaining("strides [1, 3]");
    }
    Tensor onDevice = Tensor.ofAddress(64, DType.INT32, Device.cuda(1), null, 4);
    assertThatIllegalStateException()
        .isThrownBy(onDevice::toInts)
        .withMessageContainingAll("needs a host tensor", "cuda:1");
  }

  @Test
  void shouldAliasTheBuffer_whenMadeFromADirectOne() {
    ByteBuffer buffer = ByteBuffer.allocateDirect(64).order(ByteOrder.LITTLE_ENDIAN);
    buffer.position(8);
    Tensor tensor = Tensor.ofBuffer(buffer, DType.INT32, 2, 3);
    buffer.putInt(8 + 4 * 4, 77);
    assertThat(tensor.toInts()).containsExactly(0, 0, 0, 0, 77, 0);
    tensor.copyFrom(new int[] {1, 2, 3, 4, 5, 6});
    assertThat(buffer.getInt(8)).isEqualTo(1);
    tensor.close();
    assertThat(tensor.toInts()[5]).as("close frees nothing that is not its own").isEqualTo(6);
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Tensor.ofBuffer(buffer, DType.INT64, 8))
        .withMessageContainingAll("needs 64 bytes", "56 remaining");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Tensor.ofBuffer(ByteBuffer.allocate(8), DType.INT64, 1))
        .withMessageContaining("must be direct");
  }

  @Test
  void shouldAskItsOwner_whenMadeFromAnAddress() {
    try (Tensor memory = Tensor.copyOf(new int[] {1, 2, 3, 4}, 4)) {
      AtomicBoolean open = new AtomicBoolean(true);
      Tensor.Lifetime owner =
          () -> {
            if (!open.get()) {
              throw new IllegalStateException("the owner has ended");
            }
          };
      Tensor tensor = Tensor.ofAddress(memory.address(), DType.INT32, Device.cpu(), owner, 2, 2);
      Tensor second = tensor.rows(1, 2);
      assertThat(second.toInts()).containsExactly(3, 4);
      tensor.close();
      assertThat(memory.toInts()).containsExactly(1, 2, 3, 4);
      open.set(false);
      for (Tensor view :
          new Tensor[] {tensor, second, tensor.view(new long[] {4}, new long[] {1})}) {
        assertThatIllegalStateException()
            .isThrownBy(view::toInts)
            .withMessage("the owner has ended");
      }
      assertThat(tensor.size(0)).as("a description needs no memory").isEqualTo(2);
    }
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Tensor.ofAddress(0, DType.INT32, Device.cpu(), null, 1))
        .withMessageContaining("address 0");
    assertThat(Tensor.ofAddress(0, DType.INT32, Device.cpu(), null, 0).numElements()).isZero();
  }

  @Test
  void shouldStayInside_whenViewed() {
    try (Tensor tensor = Tensor.copyOf(new int[] {0, 1, 2, 3, 4, 5}, 2, 3)) {
      Tensor transposed = tensor.view(new long[] {3, 2}, new long[] {1, 3});
      assertThat(transposed.isContiguous()).isFalse();
      assertThat(transposed.stride(1)).isEqualTo(3);
      assertThat(transposed.address()).isEqualTo(tensor.address());
      assertThat(transposed.rows(1, 3).address()).isEqualTo(tensor.address() + 4);
      assertThat(tensor.rows(1, 2).toInts()).containsExactly(3, 4, 5);
      assertThat(tensor.rows(2, 2).numElements()).isZero();
      assertThatIllegalArgumentException()
          .isThrownBy(() -> tensor.view(new long[] {7}, new long[] {1}))
          .withMessageContaining("reaches past 6 elements");
      assertThatIllegalArgumentException()
          .isThrownBy(() -> tensor.view(new long[] {2, 3}, new long[] {1}))
          .withMessageContaining("shape has 2 dimensions, strides 1");
      assertThatIllegalArgumentException()
          .isThrownBy(() -> tensor.view(new long[] {2}, new long[] {-1}))
          .withMessageContaining("stride must be >= 0");
      assertThatThrownBy(() -> tensor.rows(1, 3)).isInstanceOf(IndexOutOfBoundsException.class);
      assertThatThrownBy(() -> tensor.rows(2, 1)).isInstanceOf(IndexOutOfBoundsException.class);
      // Views cannot be made to overflow their way past the end.
      assertThatIllegalArgumentException()
          .isThrownBy(() -> tensor.view(new long[] {1L << 33, 1}, new long[] {1L << 31, 1}));
      long[] shape = tensor.shape();
      shape[0] = 99;
      assertThat(tensor.size(0)).isEqualTo(2);
    }
  }

  @Test
  void shouldRefuseShapes_whenNegativeOrTooLarge() {
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Tensor.allocate(DType.BF16, 3, -1))
        .withMessageContaining("size must be >= 0: [3, -1]");
    assertThatIllegalArgumentException()
        .isThrownBy(() -> Tensor.allocate(DType.INT64, 1L << 31, 1L << 31))
        .withMessageContaining("overflows 64 bits");
    assertThatIllegalArgumentException()
        .isThrownBy(
            () -> Tensor.ofAddress(64, DType.INT64, Device.cpu(), null, 1L << 40, 1L << 40));
    assertThatIllegalArgumentException().isThrownBy(() -> Device.cuda(-1));
    assertThatIllegalArgumentException().isThrownBy(() -> new Device(Device.Kind.CPU, 1));
  }

  @Test
  void shouldHaveNoElements_whenASizeIsZero() {
    try (Tensor tensor = Tensor.allocate(DType.BF16, 0, 7168)) {
      assertThat(tensor.numElements()).isZero();
      assertThat(tensor.isContiguous()).isTrue();
      assertThat(tensor.toShorts()).isEmpty();
      assertThat(tensor.address()).isNotZero();
    }
  }

  @Test
  void shouldReachBeyondTwoGib_whenRowsAreTakenFromTheEnd() {
    // Only two pages are ever touched.
    long rows = 3L << 20;
    try (Tensor tensor = Tensor.allocate(DType.INT64, rows, 128)) {
      assertThat(tensor.byteSize()).isEqualTo(3L << 30);
      tensor.rows(rows - 1, rows).copyFrom(new long[128]);
      OffHeap.putLong(tensor.address() + tensor.byteSize() - 8, 42);
      assertThat(tensor.rows(rows - 1, rows).toLongs()[127]).isEqualTo(42);
    }
  }
}
