// Loading kernels ahead of their first launch. A lazy load can wait for running kernels, and those
// may wait for a peer whose kernel is the one being loaded.
#pragma once

#include <cuda_runtime_api.h>

namespace ep4j {

// Stops at the first error.
template <class... Kernels>
cudaError_t load_kernels(Kernels... kernels) {
  cudaFuncAttributes attributes;
  cudaError_t error = cudaSuccess;
  ((error = error != cudaSuccess ? error : cudaFuncGetAttributes(&attributes, kernels)), ...);
  return error;
}

}  // namespace ep4j
