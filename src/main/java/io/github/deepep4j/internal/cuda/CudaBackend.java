package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.Ep4j;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.Transport;
import io.github.deepep4j.error.BackendUnavailableException;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.backend.Backend;
import io.github.deepep4j.internal.backend.BackendBuffer;
import io.github.deepep4j.internal.backend.DeviceSpace;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.NativeLibrary;
import io.github.deepep4j.internal.memory.Agreement;
import io.github.deepep4j.tensor.Device;
import java.util.ArrayList;
import java.util.List;

/** The backend for NVIDIA GPUs, for ranks that can load and store each other's memory. */
public final class CudaBackend implements Backend {
  private static final String OPERATION = "creating a CUDA buffer";

  /**
   * What a process has, asked for once: the driver's devices do not change while it runs.
   *
   * @param count devices that work
   * @param findings of the library, with the reason if there is no device
   */
  private record Devices(int count, List<String> findings) {
    static final Devices FOUND = find();

    private static Devices find() {
      NativeLibrary library = NativeLibrary.get();
      List<String> findings = new ArrayList<>(library.isLoaded() ? library.findings() : List.of());
      int count = library.deviceCount(findings);
      return new Devices(count, List.copyOf(findings));
    }
  }

  @Override
  public Ep4j.BackendStatus status() {
    int devices = Devices.FOUND.count();
    List<String> detail = new ArrayList<>(Devices.FOUND.findings());
    detail.addAll(DeviceReport.lines(devices));
    return new Ep4j.BackendStatus(Device.Kind.CUDA, devices > 0, detail);
  }

  /** Devices that work here; 0 where the native library or the driver does not. */
  public static int deviceCount() {
    return Devices.FOUND.count();
  }

  /**
   * Bytes that one rank's end of a buffer will take. Needs the native library, not a device.
   *
   * @param options of the buffer
   * @param numRanks n, a divisor of the number of experts
   * @throws BackendUnavailableException if the native library does not load here
   */
  public static SizeHint sizeHint(BufferOptions options, int numRanks) {
    NativeLibrary library = NativeLibrary.get();
    if (!library.isLoaded()) {
      throw new BackendUnavailableException(
          Device.Kind.CUDA.name(), library.findings(), "Ask for the sizes of Device.cpu().");
    }
    return BufferSizes.of(options, Device.cuda(0), 0, numRanks).hint();
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
    if (options.isLowLatency()
        && options.transport() != Transport.NVSHMEM
        && ranksPerNode != 0
        && ranksPerNode < numRanks) {
      return "lowLatency() with ranksPerNode("
          + ranksPerNode
          + ") of "
          + numRanks
          + " ranks is on CUDA for transport(NVSHMEM) only: else all ranks must be one node";
    }
    if (options.isLowLatency() && options.lowLatencyRegions() > Abi.MAX_LOW_LATENCY) {
      return "lowLatencyRegions must be at most "
          + Abi.MAX_LOW_LATENCY
          + " on CUDA: "
          + options.lowLatencyRegions();
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
    BufferSizes sizes = BufferSizes.of(options, device, group.rank(), group.size());
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
