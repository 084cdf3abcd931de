// In the place of src/device/programmatic.cuh: a simulated stream runs one kernel after the other.
#pragma once

#include "device/stream.hpp"
#include "warp.hpp"

namespace ep4j {

template <class... Params>
cudaError_t launch_behind(const Stream& stream, const Grid& grid, void (*kernel)(Params...),
                          const Params&... params) {
  simulated::launch(
      simulated::Grid(grid.blocks, grid.threads, grid.shared_bytes, stream.handle),
      kernel, params...);
  return cudaSuccess;
}

inline void await_last_kernel() {}

inline void let_next_kernel_begin() { __syncthreads(); }

}  // namespace ep4j
