// The end of a wide kernel that tells peers something: the block that finishes last is the one
// that may publish.
#pragma once

#include "device/ptx/memory.cuh"
#include "layout/local_layout.hpp"

namespace ep4j {

// True in all threads of the last block, after the stores of every thread of the grid. All threads
// of every block call it, once per counter, their bulk stores being complete.
//
// Every thread's stores come before the block's barrier, then one fence at system scope and an
// acquire-release count at device scope; the last block's barrier and releases follow. So what it
// publishes covers every block's rows, also those in other devices' memory.
__device__ inline bool is_last_block(LocalState& state) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::fence_system();
    last = ptx::add_acq_rel_device(&state.blocks_done, 1) == gridDim.x - 1;
    if (last) {
      state.blocks_done = 0;
    }
  }
  __syncthreads();
  return last;
}

// The same without the fence at system scope, which costs a microsecond and more: the count hands
// each block's stores to the last block at device scope, and that block's release at system scope
// hands on what it has observed.
__device__ inline bool is_last_block(uint32_t& blocks_done) {
  __shared__ bool last;
  __syncthreads();
  if (threadIdx.x == 0) {
    last = ptx::add_acq_rel_device(&blocks_done, 1) == gridDim.x - 1;
    if (last) {
      blocks_done = 0;
    }
  }
  __syncthreads();
  return last;
}

}  // namespace ep4j
