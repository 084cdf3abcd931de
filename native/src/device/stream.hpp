// Where a kernel is launched, and how wide.
#pragma once

#include <cuda_runtime_api.h>

namespace ep4j {

struct Stream {
  cudaStream_t handle;
  bool programmatic;  // its device has programmatic launches (compute capability 9.0)
};

struct Grid {
  int blocks;
  int threads;
  size_t shared_bytes = 0;
};

}  // namespace ep4j
