// The end of a wide kernel that tells peers something: the block that finishes last is the one
// that may publish.
#pragma once

#include "device/ptx/memory.cuh"
#include "layout/local_layout.hpp"

namespace ep4j {

// True in all threads of the last block, after the stores of every thread of the grid. All threads
// of every block call it, once per counter, their bulk stores being complete.
//
// Every thread's stores come before the block's barrier, then an acquire-release count at device
// scope, which hands them to the last block; its barrier and its releases at system scope follow,
// and hand on what it has observed, also rows in other devices' memory. A fence at system scope in
// every block would cost a microsecond and more.
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
