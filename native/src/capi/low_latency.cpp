// The C ABI of low-latency mode.
#include "capi/buffer.hpp"
#include "capi/guard.hpp"

using ep4j::as_stream;
using ep4j::guarded;
using ep4j::require;
using ep4j::require_given;
using ep4j::require_struct;

ep4j_status ep4j_low_latency_bytes(const ep4j_low_latency_config* config, int32_t num_ranks,
                                   int32_t num_experts, int64_t* bytes) {
  return guarded([&] {
    require_struct(config, "config");
    require_given(bytes, "bytes");
    require(num_ranks >= 1 && num_experts % num_ranks == 0,
            "num_experts must be a multiple of num_ranks ", num_ranks, ": ", num_experts);
    ep4j_buffer_config buffer = {};
    buffer.num_ranks = num_ranks;
    ep4j::checked(*config, buffer);
    *bytes = ep4j::low_latency_layout(config, num_ranks, num_experts, false).bytes();
    return EP4J_OK;
  });
}

ep4j_status ep4j_low_latency_dispatch(ep4j_buffer* buffer,
                                      const ep4j_low_latency_dispatch_call* call,
                                      ep4j_low_latency_result* result, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(call, "call");
    require_struct(result, "result");
    buffer->end.low_latency_dispatch(*call, *result, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_low_latency_dispatch_receive(ep4j_buffer* buffer, int32_t region, int32_t num_sms,
                                              int64_t timeout_nanos, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    buffer->end.low_latency_dispatch_receive(region, num_sms, timeout_nanos, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_low_latency_release(ep4j_buffer* buffer, int32_t region, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    buffer->end.low_latency_release(region, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_low_latency_combine_input(ep4j_buffer* buffer, int32_t output,
                                           int64_t timeout_nanos, void** y, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_given(y, "y");
    *y = buffer->end.low_latency_combine_input(output, timeout_nanos, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_low_latency_combine(ep4j_buffer* buffer,
                                     const ep4j_low_latency_combine_call* call, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(call, "call");
    buffer->end.low_latency_combine(*call, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_low_latency_combine_receive(ep4j_buffer* buffer, int32_t output, int32_t num_sms,
                                             int64_t timeout_nanos, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    buffer->end.low_latency_combine_receive(output, num_sms, timeout_nanos, as_stream(stream));
    return EP4J_OK;
  });
}
