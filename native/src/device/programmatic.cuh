// Launches that come to the device while the stream's last kernel ends, which saves half a microsecond
// and more between two kernels of one stream.
//
// Such a kernel begins with await_last_kernel(), before it touches any memory. A kernel that others
// follow in this way calls let_next_kernel_begin() when it waits for no peer any more. Not earlier:
// the next kernel's blocks would hold multiprocessors that a peer needs to answer. A kernel that
// never calls it lets the next one come when its own blocks have gone.
#pragma once

#include "device/stream.hpp"

namespace ep4j {

// An ordinary launch where the device has no other.
template <class... Params>
cudaError_t launch_behind(const Stream& stream, const Grid& grid, void (*kernel)(Params...),
                          const Params&... params) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = {static_cast<unsigned>(grid.blocks), 1, 1};
  config.blockDim = {static_cast<unsigned>(grid.threads), 1, 1};
  config.dynamicSmemBytes = grid.shared_bytes;
  config.stream = stream.handle;
  config.attrs = &attribute;
  config.numAttrs = stream.programmatic ? 1 : 0;
  void* arguments[] = {const_cast<Params*>(&params)...};
  return cudaLaunchKernelExC(&config, reinterpret_cast<const void*>(kernel), arguments);
}

__device__ __forceinline__ void await_last_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaGridDependencySynchronize();
#endif
}

// All threads of every block; a barrier of the block, as one thread's word counts for all.
__device__ __forceinline__ void let_next_kernel_begin() {
  __syncthreads();
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

}  // namespace ep4j
