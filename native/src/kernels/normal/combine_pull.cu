// Combine pull: each token's rows are read where the experts left them, summed in order, stored
// once.
//
//   grid   as many blocks as the call gives multiprocessors; nobody waits for a peer
//   role        warps        does
//   row puller  all          the next token for whoever is free: in a fixed order float32 sums,
//                            rounded once
//   publisher   last block   read = epoch, at every peer whose outputs were taken
//
// Invariant: an output is not written again before every row of it that this rank needs has landed
// in registers: read is published after the whole grid is done.
#include "kernels/normal/combine_pull.hpp"

#include "device/programmatic.cuh"
#include "device/sync/grid_end.cuh"
#include "kernels/normal/row_pullers.cuh"

namespace ep4j {
namespace {

struct SharedStorage {
  PeerOutput outputs[kMaxRanks];
  int32_t verdict;
};

template <bool kBulk, int kVectors, bool kWeighted>
__global__ void __launch_bounds__(kMaxWideThreads, 1)
    combine_pull_kernel(const __grid_constant__ PullParams params) {
  extern __shared__ __align__(128) char slots[];
  __shared__ SharedStorage shared;
  LocalState& state = *params.view.state;
  await_last_kernel();
  for (int rank = threadIdx.x; rank < params.view.num_ranks; rank += blockDim.x) {
    shared.outputs[rank] = state.pull.outputs[rank];
  }
  if (threadIdx.x == 0) {
    shared.verdict = state.failed != 0 ? EP4J_ABORTED : state.pull.verdict;
  }
  __syncthreads();
  if (shared.verdict == EP4J_ABORTED) {
    return;  // peers know: this rank's failure was published
  }
  if constexpr (!kBulk) {
    PlainRowPuller<kVectors, kWeighted>(params, shared.outputs).run();
  } else {
#if EP4J_HAS_BULK_COPY
    __shared__ uint64_t barriers[kMaxWideWarps * kMaxStages];
    BulkRowPuller<kVectors, kWeighted>(params, shared.outputs, slots, barriers).run();
#endif
  }
  if (is_last_block(state.blocks_done)) {
    const int rank = static_cast<int>(threadIdx.x);
    if (rank < params.view.num_ranks && shared.outputs[rank].read != nullptr) {
      ptx::store_release_system(shared.outputs[rank].read, state.pull.epoch);
    }
    if (rank == 0) {
      state.claimed = 0;
    }
  }
}

using Kernel = void (*)(PullParams);

template <bool kBulk, int kVectors>
Kernel kernel_for(bool weighted) {
  return weighted ? combine_pull_kernel<kBulk, kVectors, true>
                  : combine_pull_kernel<kBulk, kVectors, false>;
}

Kernel kernel_for(bool bulk, int vectors, bool weighted) {
  if (bulk) {
    return vectors == 7 ? kernel_for<true, 7>(weighted) : kernel_for<true, 8>(weighted);
  }
  return vectors == 7 ? kernel_for<false, 7>(weighted) : kernel_for<false, 8>(weighted);
}

}  // namespace

cudaError_t prepare_combine_pull(int shared_limit, bool bulk) {
  for (int vectors : {7, 8}) {
    for (bool weighted : {false, true}) {
      cudaError_t error = cudaFuncSetAttribute(kernel_for(bulk, vectors, weighted),
                                               cudaFuncAttributeMaxDynamicSharedMemorySize,
                                               shared_limit - kTableBytes);
      if (error != cudaSuccess) {
        return error;
      }
    }
  }
  return cudaSuccess;
}

cudaError_t launch_combine_pull(const PullParams& params, bool bulk, int num_blocks,
                                const Stream& stream) {
  Kernel kernel = kernel_for(bulk, params.shape.vectors, params.weighted != 0);
  const Grid grid = {num_blocks, params.shape.warps * kWarpLanes,
                     static_cast<size_t>(params.shape.shared_bytes)};
  return launch_behind(stream, grid, kernel, params);
}

}  // namespace ep4j
