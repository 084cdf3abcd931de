package io.github.deepep4j.interop;

import io.github.deepep4j.Event;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.Backends;
import io.github.deepep4j.internal.backend.DeviceEvent;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Device;
import io.github.deepep4j.tensor.Tensor;
import org.bytedeco.cuda.cudart.CUevent_st;
import org.bytedeco.cuda.cudart.CUstream_st;
import org.bytedeco.javacpp.Pointer;

/**
 * Streams, events and device memory of the JavaCPP Presets for CUDA as those of this library and
 * back. Nothing is copied and nothing changes hands: whoever made a thing ends it. Local; needs no
 * device.
 *
 * <pre>{@code
 * CUstream_st stream = new CUstream_st();
 * cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
 * var options = DispatchOptions.defaults().stream(CudaInterop.stream(device, stream));
 * }</pre>
 */
public final class CudaInterop {
  private CudaInterop() {}

  /**
   * A stream to give to a call.
   *
   * @param device the stream's device
   * @param stream made by the caller, who destroys it when the calls on it have returned
   * @return the stream
   * @throws IllegalArgumentException if it is null, which is the legacy default stream
   */
  public static Stream stream(Device device, CUstream_st stream) {
    return new Stream(device, stream.address());
  }

  /**
   * A stream for the presets' functions.
   *
   * @param stream of a GPU
   * @return a pointer that frees nothing
   * @throws IllegalArgumentException if it is the CPU's
   */
  public static CUstream_st stream(Stream stream) {
    if (stream.device().isCpu()) {
      throw new IllegalArgumentException("the stream must be of a GPU: " + stream);
    }
    return new CUstream_st(new RawPointer(stream.handle(), 0));
  }

  /**
   * An event to start a call after. Its state is that of its last recording at the time of the
   * question, as CUDA has it.
   *
   * @param device the event's device
   * @param event recorded by the caller; stays alive as long as the result
   * @return the event
   * @throws IllegalArgumentException if it is null
   */
  public static Event event(Device device, CUevent_st event) {
    if (event.isNull()) {
      throw new IllegalArgumentException("the event must not be null");
    }
    return new PresetEvent(device, event);
  }

  /**
   * An event for the presets' functions. Events of calls are recorded in turn: to be waited for
   * now, not to be kept.
   *
   * @param event that a call on a GPU returned
   * @return a pointer that frees nothing
   * @throws IllegalArgumentException if it is of the CPU backend
   */
  public static CUevent_st event(Event event) {
    if (event instanceof DeviceEvent ofDevice) {
      return new CUevent_st(new RawPointer(ofDevice.handle(), 0));
    }
    throw new IllegalArgumentException("the event must be of a GPU: " + event);
  }

  /**
   * A tensor over device memory.
   *
   * @param device the memory's device
   * @param memory from its position on; kept reachable as long as the tensor
   * @param dtype element type
   * @param shape sizes, each ≥ 0
   * @return a contiguous tensor; closing it frees nothing
   * @throws IllegalArgumentException if the memory is null, or is known to be smaller than the
   *     shape
   */
  public static Tensor tensor(Device device, Pointer memory, DType dtype, long... shape) {
    long elementBytes = Math.max(1, memory.sizeof());
    Tensor tensor =
        Tensor.ofAddress(
            memory.address() + memory.position() * elementBytes, dtype, device, memory, shape);
    long available = (memory.limit() - memory.position()) * elementBytes;
    if (memory.limit() > 0 && available < tensor.byteSize()) {
      throw new IllegalArgumentException(
          tensor + " needs " + tensor.byteSize() + " bytes, the pointer has " + available);
    }
    return tensor;
  }

  /**
   * A tensor's memory for the presets' functions.
   *
   * @param tensor any; keep it, and what it is borrowed from, while the pointer is used
   * @return a pointer to bytes that frees nothing
   */
  public static Pointer pointer(Tensor tensor) {
    return new RawPointer(tensor.address(), tensor.byteSize());
  }

  /** A pointer to an address, without a deallocator. */
  private static final class RawPointer extends Pointer {
    RawPointer(long address, long bytes) {
      super((Pointer) null);
      this.address = address;
      this.capacity = bytes;
      this.limit = bytes;
    }

    @Override
    public int sizeof() {
      return 1;
    }
  }

  /** An event of the presets. */
  private record PresetEvent(Device device, CUevent_st event) implements DeviceEvent {
    @Override
    public long handle() {
      return event.address();
    }

    @Override
    public boolean isComplete() {
      return Backends.space(device).isComplete(handle());
    }

    @Override
    public void synchronize() {
      Backends.space(device).synchronize(handle());
    }
  }
}
