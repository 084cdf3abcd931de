// Low-latency combine: each token's expert outputs, weighted and summed.
#pragma once

#include <cuda_runtime_api.h>

#include "device/stream.hpp"
#include "kernels/low_latency/shapes.hpp"
#include "layout/low_latency_state.hpp"

namespace ep4j {

struct LowLatencyCombineParams {
  LowLatencyView view;
  CallWords words;       // but for the handle, which the device knows
  const char* y;         // [local experts, n M, hidden] BF16 to be staged; null: it is in place
  const float* weights;  // [num_tokens, num_topk]
  char* out;             // [num_tokens, hidden] BF16
  int32_t num_tokens;
  int32_t num_topk;
  int32_t row_bytes;  // of BF16
  int32_t region;     // of the dispatch
  int32_t output;
  int32_t log_fmt;
  int32_t phases;           // Phase bits
  int32_t parts_per_token;  // that different blocks may sum
  int32_t pushes;           // some peer is out of reach: its rows are put to it

  // Whether the sending half moves rows, and not only words.
  EP4J_HOST_DEVICE bool moves_rows() const {
    return y != nullptr || log_fmt != 0 || pushes != 0;
  }
};

// What await_empty_output needs.
struct LowLatencyOutputParams {
  LowLatencyView view;
  int32_t output;
};

// Loads the kernels of this file, so that no launch does.
cudaError_t load_low_latency_combine();

// Both halves in one launch, or one of them. All blocks must be co-resident, with those of the
// other ranks that share the device.
cudaError_t launch_low_latency_combine(const LowLatencyCombineParams& params, int num_blocks,
                                       const Stream& stream);

// An output may be written: every peer has read its last contents. One block.
cudaError_t launch_await_empty_output(const LowLatencyOutputParams& params, cudaStream_t stream);

}  // namespace ep4j
