// The C ABI's memory, streams and events, for callers without a CUDA runtime of their own.
#include <map>
#include <mutex>

#include "capi/guard.hpp"
#include "runtime/device.hpp"
#include "runtime/streams.hpp"

using ep4j::as_stream;
using ep4j::check;
using ep4j::DeviceScope;
using ep4j::guarded;
using ep4j::require;
using ep4j::require_given;

namespace {

cudaEvent_t as_event(void* event) { return static_cast<cudaEvent_t>(event); }

// What a query found. "Not ready" is kept by the runtime as an error: it must not surface later.
ep4j_status finished(cudaError_t found, const char* what) {
  if (found == cudaErrorNotReady) {
    cudaGetLastError();
    return EP4J_PENDING;
  }
  check(found, what);
  return EP4J_OK;
}

// One pool per device, apart from the caller's: it keeps what is freed instead of returning it to
// the driver, and never lets an allocation on one stream wait for another stream's free. That
// stream may be waiting for the very rank that allocates.
cudaMemPool_t pool_of(int device) {
  static std::mutex mutex;
  static std::map<int, cudaMemPool_t> pools;
  std::scoped_lock lock(mutex);
  cudaMemPool_t& pool = pools[device];
  if (pool == nullptr) {
    cudaMemPoolProps properties = {};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = device;
    cudaMemPool_t made;
    check(cudaMemPoolCreate(&made, &properties), "making a memory pool");
    uint64_t everything = UINT64_MAX;
    check(cudaMemPoolSetAttribute(made, cudaMemPoolAttrReleaseThreshold, &everything),
          "setting up the memory pool");
    int never = 0;
    check(cudaMemPoolSetAttribute(made, cudaMemPoolReuseAllowInternalDependencies, &never),
          "setting up the memory pool");
    pool = made;
  }
  return pool;
}

}  // namespace

ep4j_status ep4j_memory_allocate(int32_t device, int64_t bytes, void* stream, void** address) {
  return guarded([&] {
    require_given(stream, "stream");
    require_given(address, "address");
    require(bytes >= 1, "bytes must be at least 1: ", bytes);
    DeviceScope scope(device);
    check(cudaMallocFromPoolAsync(address, static_cast<size_t>(bytes), pool_of(device),
                                  as_stream(stream)),
          "allocating memory");
    return EP4J_OK;
  });
}

ep4j_status ep4j_memory_free(int32_t device, void* address, void* stream) {
  return guarded([&] {
    require_given(address, "address");
    require_given(stream, "stream");
    DeviceScope scope(device);
    check(cudaFreeAsync(address, as_stream(stream)), "freeing memory");
    return EP4J_OK;
  });
}

ep4j_status ep4j_memory_copy(int32_t device, void* to, const void* from, int64_t bytes,
                             void* stream) {
  return guarded([&] {
    require(bytes >= 0, "bytes must not be negative: ", bytes);
    require(bytes == 0 || (to != nullptr && from != nullptr), "to and from must be given");
    require_given(stream, "stream");
    DeviceScope scope(device);
    check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault,
                          as_stream(stream)),
          "copying memory");
    return EP4J_OK;
  });
}

ep4j_status ep4j_stream_create(int32_t device, int32_t urgent, void** stream) {
  return guarded([&] {
    require_given(stream, "stream");
    DeviceScope scope(device);
    *stream = ep4j::take_stream(device, urgent != 0);
    return EP4J_OK;
  });
}

ep4j_status ep4j_stream_destroy(int32_t device, void* stream) {
  return guarded([&] {
    require_given(stream, "stream");
    DeviceScope scope(device);
    ep4j::give_stream(as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_stream_wait(int32_t device, void* stream, void* event) {
  return guarded([&] {
    require_given(stream, "stream");
    require_given(event, "event");
    DeviceScope scope(device);
    check(cudaStreamWaitEvent(as_stream(stream), as_event(event), 0), "waiting for an event");
    return EP4J_OK;
  });
}

ep4j_status ep4j_stream_query(int32_t device, void* stream) {
  return guarded([&] {
    require_given(stream, "stream");
    DeviceScope scope(device);
    return finished(cudaStreamQuery(as_stream(stream)), "asking for a stream");
  });
}

ep4j_status ep4j_graph_begin(int32_t device, void* stream) {
  return guarded([&] {
    require_given(stream, "stream");
    DeviceScope scope(device);
    check(cudaStreamBeginCapture(as_stream(stream), cudaStreamCaptureModeThreadLocal),
          "beginning a graph");
    return EP4J_OK;
  });
}

ep4j_status ep4j_graph_end(int32_t device, void* stream, void** graph) {
  return guarded([&] {
    require_given(stream, "stream");
    require_given(graph, "graph");
    DeviceScope scope(device);
    cudaGraph_t recorded = nullptr;
    check(cudaStreamEndCapture(as_stream(stream), &recorded), "ending a graph");
    cudaGraphExec_t made = nullptr;
    cudaError_t error = cudaGraphInstantiate(&made, recorded, 0);
    cudaGraphDestroy(recorded);
    check(error, "making a graph ready");
    // Now and not with the first launch, when peers may be waiting.
    error = cudaGraphUpload(made, as_stream(stream));
    if (error == cudaSuccess) {
      error = cudaStreamSynchronize(as_stream(stream));
    }
    if (error != cudaSuccess) {
      cudaGraphExecDestroy(made);
    }
    check(error, "uploading a graph");
    *graph = made;
    return EP4J_OK;
  });
}

ep4j_status ep4j_graph_launch(int32_t device, void* graph, void* stream) {
  return guarded([&] {
    require_given(graph, "graph");
    require_given(stream, "stream");
    DeviceScope scope(device);
    check(cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), as_stream(stream)),
          "launching a graph");
    return EP4J_OK;
  });
}

ep4j_status ep4j_graph_destroy(int32_t device, void* graph) {
  return guarded([&] {
    require_given(graph, "graph");
    DeviceScope scope(device);
    check(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)), "ending a graph");
    return EP4J_OK;
  });
}

ep4j_status ep4j_event_destroy(int32_t device, void* event) {
  return guarded([&] {
    require_given(event, "event");
    DeviceScope scope(device);
    check(cudaEventDestroy(as_event(event)), "ending an event");
    return EP4J_OK;
  });
}

ep4j_status ep4j_event_record(int32_t device, void* event, void* stream) {
  return guarded([&] {
    require_given(event, "event");
    require_given(stream, "stream");
    DeviceScope scope(device);
    cudaStreamCaptureStatus status;
    check(cudaStreamIsCapturing(as_stream(stream), &status), "asking whether a stream is recorded");
    if (status == cudaStreamCaptureStatusNone) {
      check(cudaEventRecord(as_event(event), as_stream(stream)), "recording an event");
    }
    return EP4J_OK;
  });
}

ep4j_status ep4j_event_query(int32_t device, void* event) {
  return guarded([&] {
    require_given(event, "event");
    DeviceScope scope(device);
    return finished(cudaEventQuery(as_event(event)), "asking for an event");
  });
}
