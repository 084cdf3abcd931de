package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.BufferOptions;
import io.github.deepep4j.CallOptions;
import io.github.deepep4j.internal.cuda.binding.Abi;
import io.github.deepep4j.internal.cuda.binding.DeviceInfo;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.internal.cuda.binding.LowLatencyNative;
import io.github.deepep4j.internal.memory.Memory;
import io.github.deepep4j.internal.memory.OffHeap;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;

/** One rank's state that all operations share. */
final class CudaRank {
  final int rank;
  final int numRanks;
  final int localExperts;
  final BufferOptions options;
  final Device device;

  /** Native handle of the buffer. */
  final long buffer;

  final CudaStreams streams;
  final Faults faults;
  final RegionSlots regions;
  final OutputSlots outputs;
  final SlotPool handles;

  final CudaCopies copies = new CudaCopies(this);

  private final int deviceSms;

  /** One word for functions that return an address. */
  private final Memory word = OffHeap.allocate(Long.BYTES);

  /** Results that are not closed; changed by the buffer's one user. */
  int openResults;

  private long calls;
  private volatile boolean closed;

  /**
   * Takes over a native buffer.
   *
   * @param sizes what it was made for
   * @param buffer its handle
   */
  CudaRank(BufferSizes sizes, long buffer) {
    this.rank = sizes.rank();
    this.numRanks = sizes.numRanks();
    this.options = sizes.options();
    this.device = sizes.device();
    this.buffer = buffer;
    this.localExperts = options.numExperts() / numRanks;
    try (DeviceInfo info = new DeviceInfo()) {
      require(Ep4jNative.deviceInfo(device.index(), info.address()), "describing " + device);
      this.deviceSms = info.getInt(DeviceInfo.NUM_SMS);
    }
    this.streams = new CudaStreams(device.index(), buffer);
    this.faults = new Faults(rank, options, buffer);
    CudaArena arena = sizes.arenaBytes() > 0 ? new CudaArena(sizes.arenaBytes()) : null;
    this.regions = new RegionSlots(sizes.numRegions(), arena);
    this.outputs = new OutputSlots(sizes.numOutputs(), arena);
    this.handles = new SlotPool("handle (maxOpenHandles)", options.maxOpenHandles());
  }

  /** Number of the next collective call. */
  long nextCall() {
    return calls + 1;
  }

  /** Goes on, after an unmask, from the furthest member's call. */
  void moveTo(long epoch) {
    calls = epoch;
  }

  /** Bit p: rank p is masked here. */
  int maskedBits() {
    require(Ep4jNative.masked(buffer, word.address()), "maskedRanks");
    return OffHeap.getInt(word.address());
  }

  /** Counts a call that was entered. */
  void entered() {
    calls++;
  }

  /** Counts a low-latency call that was entered. */
  void entered(String operation) {
    calls++;
    faults.entered(calls, operation);
  }

  /** Throws unless a native function succeeded. */
  void require(int status, String operation) {
    Natives.require(status, rank, operation);
  }

  /** A call's deadline. */
  long timeoutNanos(CallOptions<?> call) {
    var timeout = call.timeout();
    return (timeout == null ? options.timeout() : timeout).toNanos();
  }

  /** Memory in stream order, which no other stream has to wait for. */
  long allocate(long bytes, long stream) {
    long at = word.address();
    require(
        Ep4jNative.memoryAllocate(device.index(), Math.max(1, bytes), stream, at), "allocation");
    return OffHeap.getLong(at);
  }

  /** Gives memory back once a stream's work so far has finished. */
  void free(long address, long stream) {
    require(Ep4jNative.memoryFree(device.index(), address, stream), "freeing device memory");
  }

  /** A tensor of this rank's device. */
  Tensor tensor(long address, DType dtype, Tensor.Lifetime owner, long... shape) {
    return Tensor.ofAddress(address, dtype, device, owner, shape);
  }

  /** Where a native function puts an address. */
  long word() {
    return word.address();
  }

  /**
   * Gives a region back whose call has come to nothing. The native library wants it received first,
   * which waits for nobody when nobody was let in. Failures are left to the next call: this one has
   * its own to report.
   *
   * @param region that was given to an issued dispatch
   * @param stream of the call
   * @param received whether its receiving half was issued
   */
  void drop(int region, long stream, boolean received) {
    int status =
        received
            ? Abi.OK
            : Ep4jNative.dispatchReceive(buffer, region, options.timeout().toNanos(), stream);
    if (status == Abi.OK) {
      status = Ep4jNative.regionRelease(buffer, region, stream);
    }
    if (status == Abi.OK) {
      regions.give(region);
    }
  }

  /**
   * Streaming multiprocessors of a call.
   *
   * @param wanted by the call, 0 for the buffer's choice
   * @param tuned the buffer's choice, 0 for the library's default
   * @throws IllegalArgumentException if the device has fewer
   */
  int numSms(int wanted, int tuned) {
    int chosen = wanted > 0 ? wanted : tuned;
    if (chosen > deviceSms) {
      throw new IllegalArgumentException(
          "numSms must be at most the " + deviceSms + " of " + device + ": " + chosen);
    }
    return chosen;
  }

  /**
   * Streaming multiprocessors of a low-latency call. More than the device's ranks leave each other
   * are refused when a call asks for them; the buffer's choice takes what there is.
   *
   * @param wanted by the call, 0 for the buffer's choice
   * @return 0 for as many as the call may have
   * @throws IllegalArgumentException if the device has fewer
   */
  int lowLatencySms(int wanted) {
    return wanted > 0 ? numSms(wanted, 0) : lowLatencyReceiveSms(options.tuning().lowLatencySms());
  }

  /** The same for a receiving half, which may have fewer than its call had: buffers come and go. */
  int lowLatencyReceiveSms(int chosen) {
    if (chosen == 0) {
      return 0;
    }
    require(LowLatencyNative.blocks(buffer, word.address()), "choosing multiprocessors");
    return Math.min(chosen, OffHeap.getInt(word.address()));
  }

  /** Whether the buffer was closed, which ends all its results. */
  boolean isClosed() {
    return closed;
  }

  /** Frees what the host holds; the native buffer lives on until its peers have let go. */
  void close() {
    closed = true;
    faults.close();
    streams.close();
    copies.close();
    word.close();
  }
}
