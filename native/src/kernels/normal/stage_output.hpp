// Copies a caller's expert outputs to where peers can read them.
#pragma once

#include <cuda_runtime_api.h>

#include "layout/limits.hpp"

namespace ep4j {

struct StageParams {
  const char* y;  // 16-byte aligned
  char* output;
  int64_t bytes;         // of y, a multiple of 16
  const float* weights;  // or null
  float* output_weights;
  int64_t num_weights;
};

// Loads the kernel, so that no launch does.
cudaError_t load_stage_output();

cudaError_t launch_stage_output(const StageParams& params, int num_blocks, cudaStream_t stream);

}  // namespace ep4j
