// Dispatch send: every row is read once and written once per place, at its final place.
//
//   grid   as many blocks as the call gives multiprocessors; nobody waits for a peer
//   role               warps      does
//   row sender         all        rows, their scales and metadata, token by token
//   padding            all        rows of this rank's region that nobody writes
//   publisher          last block one Arrival word per destination that granted, also if no row
//                                 went there or the call was dropped
//
// A destination that masks this rank meanwhile gets no further row: every warp looks before every
// token. Its word then says ABORTED, and still comes, because the destination's region waits for it.
//
// Invariant: a word is published after every row of this rank is complete at its destination. Bulk
// stores are waited for by the lanes that issued them (complete, not merely read), which makes them
// visible to those lanes; is_last_block carries that to the publisher.
#include "kernels/normal/dispatch_send.hpp"

#include "device/programmatic.cuh"
#include "device/routing/padding.cuh"
#include "device/sync/grid_end.cuh"
#include "kernels/normal/row_senders.cuh"

namespace ep4j {
namespace {

struct SharedStorage {
  Destination destinations[kMaxRanks];
  int32_t verdict;
  int32_t num_received;
  int64_t region_rows;
};

__device__ void load_plan(const SendParams& params, SharedStorage& shared) {
  const SendPlan& plan = params.view.state->send;
  for (int rank = threadIdx.x; rank < params.view.num_ranks; rank += blockDim.x) {
    shared.destinations[rank] = plan.destinations[rank];
  }
  if (threadIdx.x == 0) {
    shared.verdict = plan.verdict;
    shared.num_received = plan.num_received;
    shared.region_rows = plan.region_rows;
  }
  __syncthreads();
}

// A call that was dropped leaves no rows in its handle.
__device__ void forget_rows(const SendParams& params) {
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
       params.counted != 0 && i < int64_t{params.num_tokens} * params.fanout; i += step) {
    params.handle.rows[i] = -1;
  }
}

// All threads of the last block.
__device__ void publish_arrivals(const SendParams& params, const SharedStorage& shared) {
  LocalState& state = *params.view.state;
  const int rank = static_cast<int>(threadIdx.x);
  const uint32_t stopped = ptx::load_relaxed_system(&state.stopped);
  if (rank < params.view.num_ranks && shared.destinations[rank].arrived != nullptr) {
    const bool stopped_here = (stopped >> rank & 1) != 0;
    ptx::store_release_system(
        shared.destinations[rank].arrived,
        Arrival::word(state.send.epoch, stopped_here ? EP4J_ABORTED : shared.verdict));
  }
  __syncthreads();
  if (rank == 0) {
    state.stopped = 0;
    state.claimed = 0;
  }
}

template <bool kBulk, bool kCast>
__device__ void send_rows(const SendParams& params, const SharedStorage& shared, char* stages) {
  const bool sent = shared.verdict == EP4J_SENT;
  if constexpr (!kBulk) {
    PlainRowSender<kCast>(params, shared.destinations, sent, stages).run();
  } else {
#if EP4J_HAS_BULK_COPY
    __shared__ uint64_t barriers[kMaxWideWarps * kMaxStages];
    BulkRowSender<kCast>(params, shared.destinations, sent, stages, barriers).run();
#endif
  }
}

template <bool kBulk, bool kCast>
__global__ void __launch_bounds__(kMaxWideThreads, 1)
    dispatch_send_kernel(const __grid_constant__ SendParams params) {
  extern __shared__ __align__(128) char stages[];
  __shared__ SharedStorage shared;
  await_last_kernel();
  let_next_kernel_begin();
  load_plan(params, shared);
  if (shared.verdict == EP4J_ABORTED) {
    return;  // peers know: this rank's failure was published
  }
  if (shared.verdict == EP4J_SENT) {
    send_rows<kBulk, kCast>(params, shared, stages);
  } else {
    forget_rows(params);
  }
  Padding(params, shared.region_rows, shared.num_received).fill();
  if (is_last_block(params.view.state->blocks_done)) {
    publish_arrivals(params, shared);
  }
}

template <bool kBulk>
auto kernel_for(int cast) {
  return cast == EP4J_CAST_NONE ? dispatch_send_kernel<kBulk, false>
                                : dispatch_send_kernel<kBulk, true>;
}

}  // namespace

cudaError_t prepare_dispatch_send(int shared_limit, bool bulk) {
  for (int cast : {EP4J_CAST_NONE, EP4J_CAST_PLAIN}) {
    auto kernel = bulk ? kernel_for<true>(cast) : kernel_for<false>(cast);
    cudaError_t error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                             shared_limit - kTableBytes);
    if (error != cudaSuccess) {
      return error;
    }
  }
  return cudaSuccess;
}

cudaError_t launch_dispatch_send(const SendParams& params, bool bulk, int num_blocks,
                                 const Stream& stream) {
  auto kernel = bulk ? kernel_for<true>(params.cast) : kernel_for<false>(params.cast);
  const Grid grid = {num_blocks, params.shape.warps * kWarpLanes,
                     static_cast<size_t>(params.shape.shared_bytes)};
  return launch_behind(stream, grid, kernel, params);
}

}  // namespace ep4j
