package io.github.deepep4j.internal.cuda.binding;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.deepep4j.Ep4j;
import io.github.deepep4j.tensor.Device;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The library that the profile cuda has built, on whatever machine this is. */
@Tag("native")
final class NativeLibraryTest {
  @Test
  void shouldLoadWithTheRightVersionAndSizes_whenBuilt() {
    assertThat(NativeLibrary.get().isLoaded())
        .as(NativeLibrary.get().findings().toString())
        .isTrue();
    assertThat(NativeLibrary.get().findings().toString())
        .contains("ABI version " + Abi.ABI_VERSION);
  }

  @Test
  void shouldSayNoDeviceOrDescribeEach_whenAskedForDevices() {
    List<String> reasons = new ArrayList<>();
    int devices = NativeLibrary.get().deviceCount(reasons);
    Ep4j.BackendStatus status = Ep4j.availability().get(1);
    assertThat(status.kind()).isEqualTo(Device.Kind.CUDA);
    assertThat(status.available()).isEqualTo(devices > 0);
    if (devices == 0) {
      assertThat(reasons).singleElement().asString().startsWith("no device: ");
      assertThat(status.detail()).endsWith(reasons.get(0)).anyMatch(line -> line.contains("ABI"));
    } else {
      assertThat(status.detail()).anyMatch(line -> line.startsWith("cuda:0: "));
    }
  }

  @Test
  void shouldSizeRegionsWithoutADevice_whenAsked() {
    try (RegionForm form = new RegionForm();
        Counts out = new Counts()) {
      form.putInt(RegionForm.ORDER, Abi.RANK_MAJOR);
      form.putInt(RegionForm.ROW_BYTES, 1024);
      form.putInt(RegionForm.NUM_TOPK, 4);
      form.putInt(RegionForm.INDEX_BYTES, 8);
      form.putLong(RegionForm.CAPACITY_ROWS, 100);
      int status = Ep4jNative.regionBytes(form.address(), 2, 8, out.address() + Counts.NEEDED);
      assertThat(status).isEqualTo(Abi.OK);
      assertThat(out.getLong(Counts.NEEDED)).isGreaterThanOrEqualTo(100 * (1024 + 4 * 12 + 4));
    }
  }

  @Test
  void shouldNameTheRule_whenTheLibraryRefuses() {
    try (RegionForm form = new RegionForm();
        Counts out = new Counts()) {
      int status = Ep4jNative.regionBytes(form.address(), 3, 8, out.address() + Counts.NEEDED);
      assertThat(status).isEqualTo(Abi.INVALID_ARGUMENT);
      assertThat(Ep4jNative.lastError()).contains("num_experts").contains("3");
    }
  }
}
