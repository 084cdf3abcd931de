// Low-latency dispatch: one copy of a row to each of its experts, packed there by local expert,
// source rank and source token.
#pragma once

#include <cuda_runtime_api.h>

#include "device/stream.hpp"
#include "kernels/low_latency/shapes.hpp"
#include "layout/low_latency_state.hpp"

namespace ep4j {

struct LowLatencyDispatchParams {
  LowLatencyView view;
  CallWords words;
  MessageForm form;
  const char* x;           // [num_tokens, hidden] BF16
  const void* topk_idx;    // [num_tokens, num_topk]
  int64_t* wait_nanos;     // [n]; or null
  int32_t* receive_stats;  // [local experts], added to; or null
  int32_t source_row_bytes;
  int32_t num_tokens;
  int32_t num_topk;
  int32_t index_bytes;
  int32_t cast;  // ep4j_cast
  int32_t region;
  int32_t output;  // that is to be writable once the rows are there; -1 for none
  int32_t phases;  // Phase bits
  LowLatencyShape shape;
};

// Sets the kernels' limits; once per process and device.
cudaError_t prepare_low_latency_dispatch(int shared_bytes, bool bulk);

// Both halves in one launch, or one of them. All blocks must be co-resident, with those of the
// other ranks that share the device.
cudaError_t launch_low_latency_dispatch(const LowLatencyDispatchParams& params, bool bulk,
                                        int num_blocks, const Stream& stream);

}  // namespace ep4j
