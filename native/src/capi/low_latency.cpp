// The C ABI of low-latency mode.
#include "capi/buffer.hpp"
#include "capi/guard.hpp"

using ep4j::as_stream;
using ep4j::guarded;
using ep4j::require;
using ep4j::require_given;
using ep4j::require_struct;

ep4j_status ep4j_low_latency_blocks(ep4j_buffer* buffer, int32_t* blocks) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_given(blocks, "blocks");
    *blocks = buffer->end.low_latency_blocks(0);
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
