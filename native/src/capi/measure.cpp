// The C ABI's measuring services.
#include <cuda_runtime_api.h>

#include "capi/guard.hpp"
#include "kernels/measure/measure.hpp"
#include "launch/budget.hpp"
#include "runtime/device.hpp"

using ep4j::as_stream;
using ep4j::check;
using ep4j::DeviceScope;
using ep4j::guarded;
using ep4j::require;
using ep4j::require_given;

// One word of pinned host memory that devices poll.
struct ep4j_gate {
  uint32_t* open;
};

ep4j_status ep4j_timer_create(int32_t device, void** event) {
  return guarded([&] {
    require_given(event, "event");
    DeviceScope scope(device);
    cudaEvent_t made;
    check(cudaEventCreate(&made), "making a timing event");
    *event = made;
    return EP4J_OK;
  });
}

ep4j_status ep4j_timer_elapsed(int32_t device, void* begin, void* end, int64_t* nanos) {
  return guarded([&] {
    require_given(begin, "begin");
    require_given(end, "end");
    require_given(nanos, "nanos");
    DeviceScope scope(device);
    // Asked first, because an event that has not happened is an error of cudaEventElapsedTime.
    for (void* event : {begin, end}) {
      cudaError_t found = cudaEventQuery(static_cast<cudaEvent_t>(event));
      if (found == cudaErrorNotReady) {
        cudaGetLastError();  // the runtime keeps it as an error: it must not surface later
        return EP4J_PENDING;
      }
      check(found, "asking for an event");
    }
    float millis = 0;
    check(cudaEventElapsedTime(&millis, static_cast<cudaEvent_t>(begin),
                               static_cast<cudaEvent_t>(end)),
          "reading the time between two events");
    *nanos = static_cast<int64_t>(double{millis} * 1e6);
    return EP4J_OK;
  });
}

ep4j_status ep4j_gate_create(int32_t device, ep4j_gate** gate) {
  return guarded([&] {
    require_given(gate, "gate");
    DeviceScope scope(device);
    check(ep4j::load_gate(), "loading the gate");
    void* memory = nullptr;
    check(cudaHostAlloc(&memory, sizeof(uint32_t), cudaHostAllocMapped | cudaHostAllocPortable),
          "allocating a gate");
    *gate = new ep4j_gate{static_cast<uint32_t*>(memory)};
    return EP4J_OK;
  });
}

ep4j_status ep4j_gate_destroy(ep4j_gate* gate) {
  return guarded([&] {
    require_given(gate, "gate");
    cudaError_t freed = cudaFreeHost(gate->open);
    delete gate;
    check(freed, "freeing a gate");
    return EP4J_OK;
  });
}

ep4j_status ep4j_gate_set(ep4j_gate* gate, int32_t open) {
  return guarded([&] {
    require_given(gate, "gate");
    __atomic_store_n(gate->open, open != 0 ? 1u : 0u, __ATOMIC_RELEASE);
    return EP4J_OK;
  });
}

ep4j_status ep4j_gate_hold(ep4j_gate* gate, int32_t device, int64_t timeout_nanos, void* stream) {
  return guarded([&] {
    require_given(gate, "gate");
    require_given(stream, "stream");
    require(timeout_nanos >= 1, "timeout_nanos must be at least 1: ", timeout_nanos);
    DeviceScope scope(device);
    check(ep4j::launch_gate(gate->open, static_cast<uint64_t>(timeout_nanos), as_stream(stream)),
          "launching the gate");
    return EP4J_OK;
  });
}

ep4j_status ep4j_row_copy(const ep4j_row_copy_call* call, void* stream) {
  return guarded([&] {
    ep4j::require_struct(call, "call");
    require_given(call->rows, "rows");
    require_given(call->out, "out");
    require_given(call->order, "order");
    require_given(stream, "stream");
    require(call->num_rows >= 1, "num_rows must be at least 1: ", call->num_rows);
    require(call->row_bytes >= 16 && call->row_bytes % 16 == 0,
            "row_bytes must be a multiple of 16: ", call->row_bytes);
    DeviceScope scope(call->device);
    const ep4j::DeviceLimits limits = ep4j::device_limits(call->device);
    require(call->num_sms >= 1 && call->num_sms <= limits.num_sms,
            "num_sms must be from 1 to the device's ", limits.num_sms, ": ", call->num_sms);
    const bool bulk = limits.has_bulk_copy;
    const ep4j::SendShape shape =
        bulk ? ep4j::bulk_send_shape(call->row_bytes, false, limits.shared_bytes)
             : ep4j::plain_send_shape(call->row_bytes, false);
    check(ep4j::prepare_row_copy(limits.shared_bytes - ep4j::kTableBytes, bulk),
          "sizing the row copy");
    const ep4j::RowCopyParams params{
        static_cast<const char*>(call->rows), static_cast<char*>(call->out), call->order,
        call->num_rows,                       call->row_bytes,               shape.warps,
        shape.stages,                         shape.chunk_bytes,             shape.stage_bytes,
        shape.shared_bytes};
    check(ep4j::launch_row_copy(params, bulk, call->num_sms, as_stream(stream)),
          "launching the row copy");
    return EP4J_OK;
  });
}
