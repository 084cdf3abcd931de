// The C ABI: checks pointers and struct sizes, turns exceptions into a status and a text.
#include "ep4j.h"

#include <memory>

#include "capi/buffer.hpp"
#include "capi/guard.hpp"
#include "layout/output_layout.hpp"

using ep4j::as_stream;
using ep4j::guarded;
using ep4j::require;
using ep4j::require_given;
using ep4j::require_struct;

int32_t ep4j_abi_version(void) { return EP4J_ABI_VERSION; }

const char* ep4j_last_error(void) { return ep4j::last_error.c_str(); }

ep4j_status ep4j_device_count(int32_t* count) {
  return guarded([&] {
    require_given(count, "count");
    *count = ep4j::device_count();
    return EP4J_OK;
  });
}

ep4j_status ep4j_device_info(int32_t device, ep4j_device* info) {
  return guarded([&] {
    require_struct(info, "info");
    ep4j::describe_device(device, *info);
    return EP4J_OK;
  });
}

ep4j_status ep4j_link_info(int32_t device, int32_t peer, ep4j_link* link) {
  return guarded([&] {
    require_struct(link, "link");
    ep4j::describe_link(device, peer, *link);
    return EP4J_OK;
  });
}

ep4j_status ep4j_region_bytes(const ep4j_region_form* form, int32_t num_ranks, int32_t num_experts,
                              int64_t* bytes) {
  return guarded([&] {
    require_struct(form, "form");
    require_given(bytes, "bytes");
    require(num_ranks >= 1 && num_experts % num_ranks == 0,
            "num_experts must be a multiple of num_ranks ", num_ranks, ": ", num_experts);
    require(form->capacity_rows >= 0, "capacity_rows must not be negative: ", form->capacity_rows);
    ep4j::RegionLayout layout = {
        {form->order, form->row_bytes, form->scale_words, form->num_topk, form->index_bytes},
        num_ranks,
        num_experts / num_ranks,
        form->capacity_rows};
    *bytes = layout.bytes();
    return EP4J_OK;
  });
}

ep4j_status ep4j_output_bytes(int64_t rows, int32_t hidden, int32_t weights_per_row,
                              int64_t* bytes) {
  return guarded([&] {
    require_given(bytes, "bytes");
    require(rows >= 0 && hidden >= 0 && weights_per_row >= 0,
            "rows, hidden and weights_per_row must not be negative: ", rows, ", ", hidden, ", ",
            weights_per_row);
    *bytes = ep4j::OutputLayout{rows, 2 * int64_t{hidden}, weights_per_row}.bytes();
    return EP4J_OK;
  });
}

ep4j_status ep4j_buffer_bytes(const ep4j_buffer_config* config, ep4j_buffer_memory* memory) {
  return guarded([&] {
    require_struct(config, "config");
    require_struct(memory, "memory");
    ep4j::describe_memory(*config, nullptr, false, *memory);
    return EP4J_OK;
  });
}

ep4j_status ep4j_buffer_bytes_low_latency(const ep4j_buffer_config* config,
                                          const ep4j_low_latency_config* low_latency,
                                          ep4j_buffer_memory* memory) {
  return guarded([&] {
    require_struct(config, "config");
    require_struct(low_latency, "low_latency");
    require_struct(memory, "memory");
    ep4j::describe_memory(*config, low_latency, false, *memory);
    return EP4J_OK;
  });
}

ep4j_status ep4j_buffer_create(const ep4j_buffer_config* config, ep4j_buffer** buffer) {
  return guarded([&] {
    require_struct(config, "config");
    require_given(buffer, "buffer");
    *buffer = ep4j::make_buffer(*config, nullptr, ep4j::PeerTransport());
    return EP4J_OK;
  });
}

ep4j_status ep4j_buffer_create_low_latency(const ep4j_buffer_config* config,
                                           const ep4j_low_latency_config* low_latency,
                                           ep4j_buffer** buffer) {
  return guarded([&] {
    require_struct(config, "config");
    require_struct(low_latency, "low_latency");
    require_given(buffer, "buffer");
    *buffer = ep4j::make_buffer(*config, low_latency, ep4j::PeerTransport());
    return EP4J_OK;
  });
}

ep4j_status ep4j_buffer_window(ep4j_buffer* buffer, ep4j_window_name* name) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_given(name, "name");
    buffer->end.name_window(*name);
    return EP4J_OK;
  });
}

ep4j_status ep4j_buffer_connect(ep4j_buffer* buffer, const ep4j_window_name* names) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_given(names, "names");
    buffer->end.connect(names);
    return EP4J_OK;
  });
}

ep4j_status ep4j_buffer_disconnect(ep4j_buffer* buffer) {
  return guarded([&] {
    require_given(buffer, "buffer");
    buffer->end.disconnect();
    return EP4J_OK;
  });
}

ep4j_status ep4j_buffer_destroy(ep4j_buffer* buffer, int32_t abandon_window) {
  return guarded([&] {
    require_given(buffer, "buffer");
    ep4j::DeviceScope scope(buffer->device);
    if (abandon_window != 0) {
      buffer->end.abandon_window();
    }
    // The window last: if freeing it is given up, whoever waits for the device waits for good.
    const std::unique_ptr<ep4j::Transport::Window> window = buffer->end.take_window();
    delete buffer;
    return EP4J_OK;
  });
}

ep4j_status ep4j_layout(ep4j_buffer* buffer, const ep4j_layout_call* call, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(call, "call");
    buffer->end.layout(*call, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_layout_told(ep4j_buffer* buffer, uint64_t ticket, ep4j_layout_verdict* verdict) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(verdict, "verdict");
    return buffer->end.layout_verdict(ticket, *verdict) ? EP4J_OK : EP4J_PENDING;
  });
}

ep4j_status ep4j_dispatch(ep4j_buffer* buffer, const ep4j_dispatch_call* call,
                          ep4j_dispatch_result* result, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(call, "call");
    require_struct(result, "result");
    buffer->end.dispatch(*call, *result, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_dispatch_receive(ep4j_buffer* buffer, int32_t region, int64_t timeout_nanos,
                                  void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    buffer->end.dispatch_receive(region, timeout_nanos, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_dispatch_counts(ep4j_buffer* buffer, uint64_t ticket, int64_t wait_nanos,
                                 ep4j_counts* counts, int32_t* tokens_per_expert) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(counts, "counts");
    require_given(tokens_per_expert, "tokens_per_expert");
    return buffer->end.dispatch_counts(ticket, wait_nanos, *counts, tokens_per_expert)
               ? EP4J_OK
               : EP4J_PENDING;
  });
}

ep4j_status ep4j_region_release(ep4j_buffer* buffer, int32_t region, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    buffer->end.release_region(region, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_region_place(ep4j_buffer* buffer, int32_t region, int64_t offset, int64_t bytes) {
  return guarded([&] {
    require_given(buffer, "buffer");
    buffer->end.place_region(region, offset, bytes);
    return EP4J_OK;
  });
}

ep4j_status ep4j_region_settle(ep4j_buffer* buffer, int32_t region, int64_t rows,
                               ep4j_dispatch_result* result) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(result, "result");
    buffer->end.settle_region(region, rows, *result);
    return EP4J_OK;
  });
}

ep4j_status ep4j_output_place(ep4j_buffer* buffer, int32_t output, int64_t offset, int64_t bytes) {
  return guarded([&] {
    require_given(buffer, "buffer");
    buffer->end.place_output(output, offset, bytes);
    return EP4J_OK;
  });
}

ep4j_status ep4j_combine_input(ep4j_buffer* buffer, int32_t output, int64_t rows, int32_t hidden,
                               int64_t timeout_nanos, void** y, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_given(y, "y");
    *y = buffer->end.combine_input(output, rows, hidden, timeout_nanos, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_combine(ep4j_buffer* buffer, const ep4j_combine_call* call, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(call, "call");
    buffer->end.combine(*call, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_combine_receive(ep4j_buffer* buffer, const ep4j_combine_receive_call* call,
                                 void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(call, "call");
    buffer->end.combine_receive(*call, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_copy(ep4j_buffer* buffer, const ep4j_copy_call* call, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(call, "call");
    buffer->end.copy(*call, as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_mask(ep4j_buffer* buffer, int32_t rank) {
  return guarded([&] {
    require_given(buffer, "buffer");
    buffer->end.mask(rank);
    return EP4J_OK;
  });
}

ep4j_status ep4j_masked(ep4j_buffer* buffer, uint32_t* ranks) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_given(ranks, "ranks");
    *ranks = buffer->end.masked();
    return EP4J_OK;
  });
}

ep4j_status ep4j_abort(ep4j_buffer* buffer) {
  return guarded([&] {
    require_given(buffer, "buffer");
    buffer->end.abort();
    return EP4J_OK;
  });
}

ep4j_status ep4j_forget(ep4j_buffer* buffer, int32_t rank) {
  return guarded([&] {
    require_given(buffer, "buffer");
    buffer->end.forget(rank);
    return EP4J_OK;
  });
}

ep4j_status ep4j_mark(ep4j_buffer* buffer, void* stream) {
  return guarded([&] {
    require_given(buffer, "buffer");
    buffer->end.mark(as_stream(stream));
    return EP4J_OK;
  });
}

ep4j_status ep4j_buffer_words(ep4j_buffer* buffer, ep4j_host_words* words) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(words, "words");
    buffer->end.host_words(*words);
    return EP4J_OK;
  });
}

ep4j_status ep4j_look(ep4j_buffer* buffer, int64_t wait_nanos, ep4j_standing* standing) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(standing, "standing");
    return buffer->end.standing(wait_nanos, *standing) ? EP4J_OK : EP4J_PENDING;
  });
}

ep4j_status ep4j_idle(ep4j_buffer* buffer) {
  return guarded([&] {
    require_given(buffer, "buffer");
    ep4j::DeviceScope scope(buffer->device);
    return buffer->end.is_idle() ? EP4J_OK : EP4J_PENDING;
  });
}

ep4j_status ep4j_welcome(ep4j_buffer* buffer, const ep4j_welcome_call* call) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(call, "call");
    return buffer->end.welcome(*call) ? EP4J_OK : EP4J_PENDING;
  });
}

ep4j_status ep4j_error(ep4j_buffer* buffer, ep4j_error_record* record) {
  return guarded([&] {
    require_given(buffer, "buffer");
    require_struct(record, "record");
    buffer->end.take_fault(*record);
    return EP4J_OK;
  });
}
