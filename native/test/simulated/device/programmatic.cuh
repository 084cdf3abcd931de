// In the place of src/device/programmatic.cuh: a simulated stream runs one kernel after the other.
#pragma once

#include "warp.hpp"

namespace ep4j {

template <class Params>
cudaError_t launch_behind(void (*kernel)(Params), const Params& params, int blocks, int threads,
                          int shared_bytes, bool, cudaStream_t stream) {
  simulated::launch(simulated::Grid(blocks, threads, shared_bytes, stream), kernel, params);
  return cudaSuccess;
}

inline void await_last_kernel() {}

inline void let_next_kernel_begin() { __syncthreads(); }

}  // namespace ep4j
