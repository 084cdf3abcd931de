package io.github.deepep4j;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** Memory and copies on the host; the GPU's are in the package gpu. */
final class DeviceMemoryTest {
  @Test
  void shouldCopyEveryElement_whenBothSidesAreHost() {
    try (Tensor from = Tensor.copyOf(new int[] {1, 2, 3, 4, 5, 6}, 2, 3);
        Tensor copy = DeviceMemory.copyOf(from, Device.cpu());
        Tensor flat = DeviceMemory.allocate(Device.cpu(), DType.INT32, 6)) {
      assertThat(copy.shape()).containsExactly(2, 3);
      assertThat(copy.address()).isNotEqualTo(from.address());
      assertThat(copy.toInts()).containsExactly(1, 2, 3, 4, 5, 6);
      DeviceMemory.copy(copy, flat);
      assertThat(flat.toInts()).containsExactly(1, 2, 3, 4, 5, 6);
      DeviceMemory.synchronize(Stream.cpu());
    }
  }

  @Test
  void shouldNameBothTensors_whenTheyDoNotFit() {
    try (Tensor ints = Tensor.zeros(DType.INT32, 4);
        Tensor floats = Tensor.zeros(DType.FLOAT32, 4);
        Tensor more = Tensor.zeros(DType.INT32, 2, 4)) {
      assertThatThrownBy(() -> DeviceMemory.copy(ints, floats))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("FLOAT32[4]")
          .hasMessageContaining("INT32[4]");
      assertThatThrownBy(() -> DeviceMemory.copy(more, ints))
          .isInstanceOf(IllegalArgumentException.class);
      Tensor columns = more.view(new long[] {2, 2}, new long[] {4, 1});
      assertThatThrownBy(() -> DeviceMemory.copyOf(columns, Device.cpu()))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("strides");
    }
  }

  @Test
  void shouldRefuseByName_whenASizeIsNegativeOrTooLarge() {
    assertThatThrownBy(() -> DeviceMemory.allocate(Device.cpu(), DType.INT32, -1))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> DeviceMemory.allocate(Device.cpu(), DType.INT64, Long.MAX_VALUE))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("overflows");
  }

  @Test
  void shouldLetTheOwnerFree_whenATensorIsClosed() {
    AtomicInteger freed = new AtomicInteger();
    Tensor.Owner owner =
        new Tensor.Owner() {
          @Override
          public void checkOpen() {}

          @Override
          public void free() {
            freed.incrementAndGet();
          }
        };
    Tensor.ofAddress(64, DType.UINT8, Device.cuda(0), owner, 4).close();
    assertThat(freed).hasValue(1);
  }
}
