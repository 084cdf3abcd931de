// Node combine: rows are summed inside their node first, and one row per node and token comes back.
//
//   expert ranks (node B)   rank of the same number as s on node B        source s (node A)
//   outputs --------------> reducer: sum, rounded -> outgoing -> fabric -> sums, returned
//                                                                           summer: all nodes' parts
//
//   kernel        role      warps           waits for            publishes
//   node_reduce   reducer   kReducerWarps   –                    (puts)
//                 fabric    the others      reducers             returned
//   node_sum      summer    all             returned             –
//                 publisher last block                           read, at every peer with outputs
//   node_combine  reducer and then summer, token by token, all; and the publisher
//
// Without a seed for the loopback's order all warps reduce, and do their puts themselves: a sum within
// reach is laid at its target.
//
// The first is the sending half and waits for no receiving half: sums has a place for every token of
// an output, so receives may be issued in any order. Summing takes a node's parts as they come.
//
// The third is both halves in one launch: parts are summed soon after they came, while the cache
// still has them, and need never go to memory. A warp sums a token only when it has reduced all its
// messages with numbers up to the token's: as messages are numbered in token order, the warp that
// waits for the earliest token waits for a message that no warp puts off.
//
// Invariant: read is published after the last look at any output, also on behalf of other nodes,
// because a rank receives a combine after it has sent it.
#include "kernels/internode/combine.hpp"

#include "device/load_kernels.cuh"
#include "device/programmatic.cuh"
#include "device/routing/claims.cuh"
#include "device/sync/grid_end.cuh"
#include "kernels/internode/node_reducer.cuh"
#include "kernels/internode/node_summer.cuh"

namespace ep4j {
namespace {

template <bool kWeighted, bool kQueued>
__global__ void __launch_bounds__(kNodeThreads, 1)
    node_reduce_kernel(const __grid_constant__ NodeReduceParams params) {
  __shared__ NodeCombineStorage shared;
  if (!enter_combine(params.view, shared)) {
    return;
  }
  const int warp = warp_index();
  const int block = static_cast<int>(blockIdx.x);
  const int blocks = static_cast<int>(gridDim.x);
  constexpr int kReducers = kQueued ? kReducerWarps : kNodeWarps;
  const LoopbackFabric fabric(params.view, params.nodes.state->fabric, params.nodes.puts);
  if (warp < kReducers) {
    NodeReducer<kWeighted, kQueued>(params, shared, fabric, block * kReducers + warp,
                                    blocks * kReducers)
        .finish();
    fabric.finish_asking();
  } else {
    constexpr int kWorkers = kNodeWarps - kReducers;
    fabric.work(block * kWorkers + warp - kReducers, blocks * kWorkers, blocks * kReducers,
                params.nodes.seed);
  }
  __syncwarp();
  if (is_last_block(params.view.state->blocks_done) && threadIdx.x == 0) {
    fabric.end_launch();
  }
}

// All threads of the grid. Outputs were read.
__device__ void publish_read(const RankView& view, const NodeCombineStorage& shared) {
  LocalState& state = *view.state;
  if (is_last_block(state.blocks_done)) {
    const int rank = static_cast<int>(threadIdx.x);
    if (rank < view.num_ranks && shared.outputs[rank].read != nullptr &&
        ptx::load_relaxed_system(&state.failed) == 0) {
      transport::publish(view, rank, shared.outputs[rank].read, shared.epoch);
    }
    if (rank == 0) {
      state.claimed = 0;
    }
  }
}

template <bool kWeighted>
__global__ void __launch_bounds__(kNodeThreads, 1)
    node_sum_kernel(const __grid_constant__ NodeSumParams params) {
  __shared__ NodeCombineStorage shared;
  if (!enter_combine(params.view, shared)) {
    return;
  }
  NodeSummer<kWeighted> summer(params, shared);
  const int step = static_cast<int>(gridDim.x) * kNodeWarps;
  const int first = static_cast<int>(blockIdx.x) * kNodeWarps + warp_index();
  // The last first: those parts came last, and the cache may still hold them.
  for (int token = params.num_tokens - 1 - first; token >= 0; token -= step) {
    if (!summer.sum(token)) {
      break;
    }
  }
  summer.count_traffic();
  let_next_kernel_begin();
  publish_read(params.view, shared);
}

// Reducing is one round of tokens ahead of summing, so that parts have come when they are wanted.
template <bool kWeighted>
__global__ void __launch_bounds__(kNodeThreads, 1)
    node_combine_kernel(const __grid_constant__ NodeReduceParams reduce,
                        const __grid_constant__ NodeSumParams sum) {
  __shared__ NodeCombineStorage shared;
  if (!enter_combine(sum.view, shared)) {
    return;
  }
  const int step = static_cast<int>(gridDim.x) * kNodeWarps;
  const int first = static_cast<int>(blockIdx.x) * kNodeWarps + warp_index();
  const LoopbackFabric fabric(reduce.view, reduce.nodes.state->fabric, reduce.nodes.puts);
  NodeReducer<kWeighted, false> reducer(reduce, shared, fabric, first, step);
  NodeSummer<kWeighted> summer(sum, shared);
  take_in_turn(sum.view.state->claimed, first, step, sum.num_tokens, [&](int token) {
    reducer.advance(token + step);
    return summer.sum(token);
  });
  reducer.finish();
  summer.count_traffic();
  let_next_kernel_begin();
  publish_read(sum.view, shared);
}

}  // namespace

cudaError_t load_node_combine() {
  return load_kernels(node_reduce_kernel<false, false>, node_reduce_kernel<false, true>,
                      node_reduce_kernel<true, false>, node_reduce_kernel<true, true>,
                      node_sum_kernel<false>, node_sum_kernel<true>, node_combine_kernel<false>,
                      node_combine_kernel<true>);
}

cudaError_t launch_node_reduce(const NodeReduceParams& params, int num_blocks,
                               const Stream& stream) {
  // Only puts with a seed come in any order.
  const bool queued = params.nodes.seed != 0;
  auto plain = queued ? node_reduce_kernel<false, true> : node_reduce_kernel<false, false>;
  auto weighted = queued ? node_reduce_kernel<true, true> : node_reduce_kernel<true, false>;
  auto kernel = params.weighted != 0 ? weighted : plain;
  return launch_behind(stream, {num_blocks, kNodeThreads}, kernel, params);
}

cudaError_t launch_node_sum(const NodeSumParams& params, int num_blocks, const Stream& stream) {
  auto kernel = params.weighted != 0 ? node_sum_kernel<true> : node_sum_kernel<false>;
  return launch_behind(stream, {num_blocks, kNodeThreads}, kernel, params);
}

cudaError_t launch_node_combine(const NodeReduceParams& reduce, const NodeSumParams& sum,
                                int num_blocks, const Stream& stream) {
  auto kernel = sum.weighted != 0 ? node_combine_kernel<true> : node_combine_kernel<false>;
  return launch_behind(stream, {num_blocks, kNodeThreads}, kernel, reduce, sum);
}

}  // namespace ep4j
