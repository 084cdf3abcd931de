package io.github.deepep4j.interop;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.deepep4j.Event;
import io.github.deepep4j.Stream;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;

/** Addresses only: nothing here is dereferenced, so no device and no native library is needed. */
final class CudaInteropTest {
  private static final Device GPU = Device.cuda(0);
  private static final long ADDRESS = 0x7f00_0000_1000L;

  private static Pointer at(long address, int bytes) {
    return CudaInterop.pointer(Tensor.ofAddress(address, DType.UINT8, GPU, null, bytes));
  }

  @Test
  void shouldKeepTheHandle_whenAStreamGoesOutAndIn() {
    CUstream_st preset = CudaInterop.stream(new Stream(GPU, ADDRESS));
    assertThat(preset.address()).isEqualTo(ADDRESS);
    assertThat(CudaInterop.stream(GPU, preset)).isEqualTo(new Stream(GPU, ADDRESS));
  }

  @Test
  void shouldRefuseTheLegacyDefaultStream_whenNull() {
    assertThatThrownBy(() -> CudaInterop.stream(GPU, new CUstream_st()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("legacy default stream");
  }

  @Test
  void shouldKeepTheHandle_whenAnEventGoesInAndOut() {
    Event event = CudaInterop.event(GPU, new CUevent_st(at(ADDRESS, 0)));
    assertThat(CudaInterop.event(event).address()).isEqualTo(ADDRESS);
    assertThatThrownBy(() -> CudaInterop.event(GPU, new CUevent_st()))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> CudaInterop.event(Event.completed()))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("must be of a GPU");
  }

  @Test
  void shouldStartAtThePosition_whenMemoryBecomesATensor() {
    Pointer memory = at(ADDRESS, 64).position(16);
    Tensor tensor = CudaInterop.tensor(GPU, memory, DType.FLOAT32, 3, 4);
    assertThat(tensor.address()).isEqualTo(ADDRESS + 16);
    assertThat(tensor.device()).isEqualTo(GPU);
    assertThat(CudaInterop.pointer(tensor).address()).isEqualTo(ADDRESS + 16);
    assertThat(CudaInterop.pointer(tensor).limit()).isEqualTo(48);
  }

  @Test
  void shouldNameBothSizes_whenMemoryIsTooSmall() {
    assertThatThrownBy(() -> CudaInterop.tensor(GPU, at(ADDRESS, 47), DType.FLOAT32, 3, 4))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("needs 48 bytes, the pointer has 47");
  }
}
