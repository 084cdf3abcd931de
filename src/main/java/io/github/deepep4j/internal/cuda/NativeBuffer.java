package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.error.EpException;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import java.util.Objects;
import java.util.function.LongToIntFunction;
import org.jspecify.annotations.Nullable;

/** A native buffer while its ranks make it together, and how to take it back if they can't. */
final class NativeBuffer {
  private static final System.Logger LOG = System.getLogger("io.github.deepep4j");

  private final BufferSizes sizes;
  private final byte[] windowName = new byte[Abi.WINDOW_NAME_BYTES];
  private long handle;
  private long windowBytes;
  private boolean mustBeAbandoned;
  private @Nullable Peers peers;
  private @Nullable CudaRank rank;

  /**
   * For a rank.
   *
   * @param sizes what it is made for
   */
  NativeBuffer(BufferSizes sizes) {
    this(sizes, 0);
  }

  /**
   * For a rank whose window is as large as others have agreed.
   *
   * @param sizes what it is made for
   * @param windowBytes of the window
   */
  NativeBuffer(BufferSizes sizes, long windowBytes) {
    this.sizes = sizes;
    this.windowBytes = windowBytes;
  }

  /** Allocates and names the window. Waits for the device. */
  void create() {
    windowBytes = sizes.hint().totalBytes();
    handle = made(sizes::create);
    name();
  }

  /** The same in NVSHMEM's heap. Collective. */
  void createOverNvshmem() {
    mustBeAbandoned = true;
    handle =
        NvshmemCall.within(
            sizes.options().timeout(),
            sizes.rank(),
            "creating the buffer",
            () -> made(out -> sizes.createOverNvshmem(windowBytes, out)));
    name();
  }

  /** Every rank has its window in NVSHMEM's heap, so that they can be freed together. */
  void allHaveWindows() {
    mustBeAbandoned = false;
  }

  private long made(LongToIntFunction create) {
    try (Memory out = OffHeap.allocate(Long.BYTES)) {
      require(create.applyAsInt(out.address()), "creating the buffer");
      return OffHeap.getLong(out.address());
    }
  }

  private void name() {
    try (Memory out = OffHeap.allocate(Abi.WINDOW_NAME_BYTES)) {
      require(Ep4jNative.bufferWindow(handle, out.address()), "naming the window");
      OffHeap.copyToArray(out.address(), windowName, 0, windowName.length);
    }
  }

  long handle() {
    return handle;
  }

  /** What peers need to reach the window. */
  byte[] windowName() {
    return windowName.clone();
  }

  /** Bytes of the window. */
  long windowBytes() {
    return windowBytes;
  }

  /** From here on peers may map the window. */
  void shareWith(Peers reached) {
    peers = reached;
  }

  /**
   * Maps the peers' windows.
   *
   * @param names by rank
   * @throws EpException {@code MISMATCH} if a rank sent something that is no name
   */
  void connect(byte[][] names) {
    try (Memory all = OffHeap.allocate((long) names.length * Abi.WINDOW_NAME_BYTES)) {
      for (int peer = 0; peer < names.length; peer++) {
        if (names[peer].length != Abi.WINDOW_NAME_BYTES) {
          throw new EpException(
              EpException.Code.MISMATCH,
              sizes.rank(),
              "creating a buffer",
              "rank " + peer + " named its window in " + names[peer].length + " bytes");
        }
        OffHeap.copyFromArray(
            names[peer],
            0,
            all.address() + (long) peer * Abi.WINDOW_NAME_BYTES,
            Abi.WINDOW_NAME_BYTES);
      }
      require(Ep4jNative.bufferConnect(handle, all.address()), "connecting");
    }
    rank = new CudaRank(sizes, handle);
  }

  /** The connected rank. */
  CudaRank rank() {
    return Objects.requireNonNull(rank, "connect() comes first");
  }

  /** Takes everything back. */
  void giveUp() {
    if (handle == 0) {
      return;
    }
    if (rank != null) {
      rank.close();
    }
    if (Ep4jNative.bufferDisconnect(handle) != Abi.OK) {
      LOG.log(
          System.Logger.Level.WARNING,
          "rank {0}: disconnecting: {1}",
          sizes.rank(),
          Ep4jNative.lastError());
    }
    if (peers != null) {
      peers.close();
    } else if (Ep4jNative.bufferDestroy(handle, mustBeAbandoned ? 1 : 0) != Abi.OK) {
      LOG.log(
          System.Logger.Level.WARNING,
          "rank {0}: freeing the window: {1}",
          sizes.rank(),
          Ep4jNative.lastError());
    }
  }

  private void require(int status, String operation) {
    Natives.require(status, sizes.rank(), operation);
  }
}
