package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.Ep4j;
import io.github.deepep4j.SizeHint;
import io.github.deepep4j.group.ProcessGroup;
import io.github.deepep4j.internal.backend.BackendBuffer;
import io.github.deepep4j.internal.cuda.binding.NativeFiles;
import io.github.deepep4j.internal.cuda.binding.NativeLibrary;
import io.github.deepep4j.internal.memory.Agreement;
import io.github.deepep4j.internal.nvshmem.NvshmemEnd;
import io.github.deepep4j.tensor.Device;
import java.util.List;

/**
 * The CUDA backend with windows in NVSHMEM's symmetric heap, so that ranks may be out of reach of
 * loads and stores. Made in a copy of this package over {@code libep4j_nvshmem.so}, by name.
 */
public final class NvshmemBackend implements NvshmemEnd {
  private static final String OPERATION = "creating a CUDA buffer over NVSHMEM";

  /**
   * Makes the backend of a copy.
   *
   * @param files that this copy of the classes loads
   */
  public NvshmemBackend(List<String> files) {
    NativeFiles.choose(files);
  }

  @Override
  public List<String> findings() {
    return NativeLibrary.get().findings();
  }

  @Override
  public boolean isLoaded() {
    return NativeLibrary.get().isLoaded();
  }

  @Override
  public Ep4j.BackendStatus status() {
    return new Ep4j.BackendStatus(Device.Kind.CUDA, isLoaded(), findings());
  }

  @Override
  public SizeHint sizeHint(BufferOptions options, int numRanks) {
    BufferSizes sizes = BufferSizes.of(options, Device.cuda(0), 0, numRanks);
    SizeHint peers = sizes.hint();
    // What goes over a network has memory of its own, where what comes back over it lies, too.
    long network = sizes.nvshmemWindowBytes() - peers.totalBytes();
    return new SizeHint(
        peers.controlBytes(),
        peers.dispatchBytes() + (options.isLowLatency() ? 0 : network),
        peers.combineBytes(),
        peers.lowLatencyDispatchBytes(),
        peers.lowLatencyCombineBytes() + (options.isLowLatency() ? network : 0),
        peers.privateBytes(),
        peers.pinnedBytes());
  }

  @Override
  public BackendBuffer createBuffer(ProcessGroup group, BufferOptions options, Device device) {
    BufferSizes sizes = BufferSizes.of(options, device, group.rank(), group.size());
    NvshmemWorld.Place place = NvshmemWorld.enter(group, sizes);
    Agreement agreement = new Agreement(group, OPERATION);
    NativeBuffer own = new NativeBuffer(sizes, place.windowBytes());
    boolean done = false;
    try {
      agreement.step("allocating windows in NVSHMEM's heap", own::createOverNvshmem);
      own.allHaveWindows();
      Peers peers = NvshmemPeers.open(group, own.handle(), options, place.isOneHost());
      NvshmemWorld.opened();
      own.shareWith(peers);
      byte[][] names = group.allGather(own.windowName());
      CudaSpace.of(device.index());
      agreement.step("connecting to the peers' windows", () -> own.connect(names));
      CudaBuffer buffer = new CudaBuffer(own.rank(), peers, place.windowBytes());
      done = true;
      return buffer;
    } finally {
      if (!done) {
        own.giveUp();
      }
    }
  }
}
