package io.github.deepep4j.internal.cuda;

import io.github.deepep4j.Stream;
import io.github.deepep4j.internal.backend.BackendHandle;
import io.github.deepep4j.internal.backend.Requests;
import io.github.deepep4j.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/** The low-latency mode of one rank's end of a buffer. */
final class CudaLowLatency implements AutoCloseable {
  private final CudaLowLatencyDispatcher dispatcher;
  private final CudaLowLatencyCombiner combiner;

  CudaLowLatency(CudaRank rank) {
    LowLatencyRegions regions = new LowLatencyRegions(rank.options);
    OutputSlots outputs = new OutputSlots(BufferSizes.numLowLatencyOutputs(rank.options), null);
    this.dispatcher = new CudaLowLatencyDispatcher(rank, regions, outputs);
    this.combiner = new CudaLowLatencyCombiner(rank, outputs);
  }

  CudaLowLatencyDispatch dispatch(Requests.LowLatencyDispatch request) {
    return dispatcher.dispatch(request);
  }

  CudaLowLatencyCombine combine(Requests.LowLatencyCombine request) {
    return combiner.combine(request);
  }

  /** Memory for the rows of the next combine of a dispatch. */
  Tensor combineInput(BackendHandle handle, @Nullable Stream stream) {
    return combiner.input((CudaLowLatencyHandle) handle, stream);
  }

  @Override
  public void close() {
    dispatcher.close();
    combiner.close();
  }
}
