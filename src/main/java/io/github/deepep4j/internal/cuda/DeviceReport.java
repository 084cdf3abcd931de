package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.DeviceInfo;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.LinkInfo;
import java.util.ArrayList;
import java.util.List;

/** What an engineer wants to know of a machine's devices and of the ways between them. */
final class DeviceReport {
  private DeviceReport() {}

  /**
   * A line for each device, and one for each pair of which one reaches the other.
   *
   * @param devices how many there are
   */
  static List<String> lines(int devices) {
    List<String> lines = new ArrayList<>();
    for (int device = 0; device < devices; device++) {
      lines.add("cuda:" + device + ": " + describe(device));
    }
    for (int device = 0; device < devices; device++) {
      for (int peer = 0; peer < devices; peer++) {
        if (peer != device) {
          lines.add("cuda:" + device + " to cuda:" + peer + ": " + describeLink(device, peer));
        }
      }
    }
    return lines;
  }

  /** Name of a device, as the driver gives it. */
  static String name(int device) {
    try (DeviceInfo info = new DeviceInfo()) {
      return Ep4jNative.deviceInfo(device, info.address()) == Abi.OK
          ? info.name().strip()
          : "cuda:" + device + " without a name";
    }
  }

  private static String describe(int device) {
    try (DeviceInfo info = new DeviceInfo()) {
      if (Ep4jNative.deviceInfo(device, info.address()) != Abi.OK) {
        return Ep4jNative.lastError();
      }
      return info.name()
          + ", UUID "
          + info.uuid()
          + ", sm_"
          + info.getInt(DeviceInfo.COMPUTE_MAJOR)
          + info.getInt(DeviceInfo.COMPUTE_MINOR)
          + ", "
          + info.getInt(DeviceInfo.NUM_SMS)
          + " SMs with "
          + (info.getInt(DeviceInfo.SHARED_BYTES) >> 10)
          + " KiB of shared memory for a block, "
          + (info.getLong(DeviceInfo.TOTAL_BYTES) >> 20)
          + " MiB, driver for CUDA "
          + version(info.getInt(DeviceInfo.DRIVER_VERSION))
          + ", library with CUDA "
          + version(info.getInt(DeviceInfo.RUNTIME_VERSION))
          + (info.getInt(DeviceInfo.HAS_BULK_COPY) != 0 ? ", bulk copies" : ", loads and stores")
          + (info.getInt(DeviceInfo.IS_SHARED) != 0 ? ", MPS is on" : ", MPS is off");
    }
  }

  private static String describeLink(int device, int peer) {
    try (LinkInfo link = new LinkInfo()) {
      if (Ep4jNative.linkInfo(device, peer, link.address()) != Abi.OK) {
        return Ep4jNative.lastError();
      }
      if (link.getInt(LinkInfo.HAS_ACCESS) == 0) {
        return "no access: ranks on these devices cannot be in one group";
      }
      return "loads and stores, "
          + (link.getInt(LinkInfo.HAS_ATOMICS) != 0
              ? "atomics (NVLink)"
              : "no atomics (PCIe: the order of flags and data is not promised)")
          + ", speed class "
          + link.getInt(LinkInfo.RANK);
    }
  }

  private static String version(int code) {
    return code / 1000 + "." + code % 1000 / 10;
  }
}
