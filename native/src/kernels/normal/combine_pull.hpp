// Sums each token's rows from the expert ranks' outputs.
#pragma once

#include <cuda_runtime_api.h>

#include "device/stream.hpp"
#include "kernels/normal/shapes.hpp"
#include "layout/handle_layout.hpp"
#include "layout/rank_view.hpp"

namespace ep4j {

struct PullParams {
  RankView view;
  HandleView handle;
  const char* bias0;   // [num_tokens, row_bytes]; or null
  const char* bias1;   // as bias0; only with it
  char* out;           // [num_tokens, row_bytes]
  float* out_weights;  // [num_tokens, num_topk]; or null
  int32_t num_tokens;
  int32_t row_bytes;  // of BF16
  int32_t num_topk;
  int32_t fanout;  // entries of handle.rows per token: n, or K in expert-major order
  int32_t rank_major;
  int32_t weighted;  // multiply by the gate weights that the handle keeps
  PullShape shape;
};

// Sets the kernels' limits; once per process and device.
cudaError_t prepare_combine_pull(int shared_limit, bool bulk);

cudaError_t launch_combine_pull(const PullParams& params, bool bulk, int num_blocks,
                                const Stream& stream);

}  // namespace ep4j
