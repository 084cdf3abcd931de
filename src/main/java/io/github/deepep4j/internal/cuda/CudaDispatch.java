package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.DispatchOptions;
import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.BackendDispatch;
import io.github.deepep4j.internal.backend.BackendHandle;
import io.github.deepep4j.internal.cuda.binding.Ep4jNative;
import io.github.deepep4j.tensor.DType;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** A normal-mode dispatch whose sends are issued: its receiving half and its result. */
final class CudaDispatch extends CudaResult implements BackendDispatch {
  /**
   * Where a dispatch runs and delivers to.
   *
   * @param operation its name
   * @param ordinal its number
   * @param region that receives
   * @param stream of both halves
   */
  record Call(String operation, long ordinal, int region, long stream) {}

  private final Call call;
  private final CudaHandle handle;
  private final DispatchOptions options;
  private final ResultForm form;
  private final long[] addresses;
  private final int @Nullable [] tokensPerExpert;
  private @Nullable Tensors tensors;
  private @Nullable OwnedResult owned;
  private boolean regionHeld = true;

  /**
   * Makes the pending result.
   *
   * @param rank this rank
   * @param call where it runs
   * @param handle the routing record
   * @param options the call's options
   * @param received what the host knows of the result
   */
  CudaDispatch(
      CudaRank rank, Call call, CudaHandle handle, DispatchOptions options, Received received) {
    super(rank);
    this.call = call;
    this.handle = handle;
    this.options = options;
    this.form = received.form();
    this.addresses = received.addresses();
    this.tokensPerExpert = received.tokensPerExpert();
    this.mark = received.sendMark();
    handle.retain();
    rank.openResults++;
  }

  /**
   * What the host knows of a result before it has arrived.
   *
   * @param form of the tensors
   * @param addresses of the tensors
   * @param tokensPerExpert counts; null where the host has none
   * @param sendMark end of the sending half
   */
  record Received(
      ResultForm form, long[] addresses, int @Nullable [] tokensPerExpert, long sendMark) {}

  @Override
  public void receive() {
    if (received) {
      return;
    }
    long stream = call.stream();
    require(
        Ep4jNative.dispatchReceive(rank.buffer, call.region(), rank.timeoutNanos(options), stream),
        "receive of ");
    received = true;
    handle.release();
    if (options.into() != null || options.allocator() != null) {
      OwnedResult copy = new OwnedResult(rank, stream);
      owned = copy;
      try {
        tensors = copy.copy(tensors(), options);
      } finally {
        releaseRegion(stream);
      }
    }
    mark = rank.streams.lastEnd(); // of an owned result: that its region was released
  }

  @Override
  public void close(@Nullable Stream stream) {
    if (closed) {
      return;
    }
    try {
      if (!rank.faults.hasFailed()) {
        receive();
      }
    } finally {
      end();
      long readers = readers(stream);
      orderAfterCall(readers);
      if (received) {
        releaseRegion(readers);
      } else if (regionHeld) {
        regionHeld = false;
        rank.regions.give(call.region());
      }
      if (owned != null) {
        owned.close(readers);
      }
    }
  }

  @Override
  public void discard() {
    if (closed) {
      return;
    }
    end();
    if (regionHeld) {
      regionHeld = false;
      rank.drop(call.region(), call.stream(), received);
    }
    if (owned != null) {
      owned.close(call.stream());
    }
  }

  private void end() {
    closed = true;
    rank.openResults--;
    if (!received) {
      handle.release();
    }
  }

  /** Gives the region back, to be used again after a stream's work so far. */
  private void releaseRegion(long stream) {
    if (regionHeld) {
      regionHeld = false;
      try {
        require(Ep4jNative.regionRelease(rank.buffer, call.region(), stream), "close of ");
      } finally {
        rank.regions.give(call.region());
      }
    }
  }

  @Override
  String operation() {
    return call.operation();
  }

  @Override
  long ordinal() {
    return call.ordinal();
  }

  @Override
  long stream() {
    return call.stream();
  }

  @Override
  public BackendHandle handle() {
    return handle;
  }

  @Override
  public int numReceived() {
    return handle.isBounded() ? -1 : form.rows();
  }

  @Override
  public int @Nullable [] tokensPerExpert() {
    return tokensPerExpert;
  }

  @Override
  public Tensors tensors() {
    checkDelivered();
    if (tensors == null) {
      tensors = form.tensors(addresses, rank, this::tensor);
    }
    return tensors;
  }

  private Tensor tensor(long address, DType dtype, long... shape) {
    return rank.tensor(address, dtype, this, shape);
  }
}
