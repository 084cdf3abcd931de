package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.Ep4j;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.backend.Backend;
import io.github.deepep4j.internal.backend.BackendBuffer;
import io.github.deepep4j.internal.backend.DeviceSpace;
import io.github.deepep4j.internal.cuda.binding.NativeLibrary;
import io.github.deepep4j.internal.memory.Agreement;
import io.github.deepep4j.tensor.Device;
import java.util.ArrayList;
import java.util.List;

/** The backend for NVIDIA GPUs: normal mode among ranks that can load and store each other. */
public final class CudaBackend implements Backend {
  private static final String OPERATION = "creating a CUDA buffer";

  @Override
  public Ep4j.BackendStatus status() {
    NativeLibrary library = NativeLibrary.get();
    List<String> detail = new ArrayList<>(library.isLoaded() ? library.findings() : List.of());
    int devices = library.deviceCount(detail);
    detail.addAll(DeviceReport.lines(devices));
    return new Ep4j.BackendStatus(Device.Kind.CUDA, devices > 0, detail);
  }

  /** Devices that work here; 0 where the native library or the driver does not. */
  public static int deviceCount() {
    return NativeLibrary.get().deviceCount(new ArrayList<>());
  }

  /**
   * Name of a device, as the driver gives it.
   *
   * @param device its index, of one that works here
   */
  public static String deviceName(int device) {
    return DeviceReport.name(device);
  }

  /**
   * What these options ask for that this backend does not do.
   *
   * @param options of a buffer
   * @param numRanks of its group
   * @return the refusal; empty if there is none
   */
  public static String refusal(BufferOptions options, int numRanks) {
    int ranksPerNode = options.ranksPerNode();
    if (ranksPerNode != 0 && ranksPerNode < numRanks) {
      return "ranksPerNode("
          + ranksPerNode
          + ") of "
          + numRanks
          + " ranks is not on CUDA yet: all ranks must be one node";
    }
    if (options.isLowLatency()) {
      return "lowLatency() is not on CUDA yet";
    }
    if (options.arenaBytes() > 0) {
      return "arenaBytes() is not on CUDA yet";
    }
    return "";
  }

  /**
   * Memory of a device, for users' tensors.
   *
   * @param device that exists
   */
  public static DeviceSpace space(Device device) {
    return CudaSpace.of(device.index());
  }

  @Override
  public BackendBuffer createBuffer(ProcessGroup group, BufferOptions options, Device device) {
    BufferSizes sizes = BufferSizes.agree(group, options, device);
    Agreement agreement = new Agreement(group, OPERATION);
    NativeBuffer own = new NativeBuffer(sizes);
    boolean done = false;
    try {
      agreement.step("allocating the device window", own::create);
      PeerWindows windows = PeerWindows.open(group, own.handle(), own.windowBytes());
      own.shareWith(windows);
      byte[][] names = group.allGather(own.windowName());
      // Whatever may make the device wait is done before any rank can leave this step and have a
      // kernel wait for a rank that is still here: streams, events, the memory pool.
      CudaSpace.of(device.index());
      agreement.step("connecting to the peers' windows", () -> own.connect(names));
      CudaBuffer buffer = new CudaBuffer(own.rank(), windows, own.windowBytes());
      done = true;
      return buffer;
    } finally {
      if (!done) {
        own.giveUp();
      }
    }
  }
}
