// What a block of the node combine's kernels shares.
#pragma once

#include "device/programmatic.cuh"
#include "device/sync/warp.cuh"
#include "kernels/internode/combine.hpp"
#include "kernels/internode/node_rows.cuh"
#include "kernels/internode/shapes.hpp"

namespace ep4j {

// What a warp must know of its SourceShare while it reduces.
struct ReducerShare {
  int remote;
  int source;
  int total;  // messages of the source
  int step;
};

struct NodeCombineStorage {
  PeerOutput outputs[kMaxRanks];
  ReducerShare shares[kNodeWarps];
  const char* parts[kNodeWarps][kWarpLanes];  // node n's part of the token that the warp sums
  int32_t combined[kNodeWarps][kWarpLanes];  // lane n: parts of node n that the warp has summed
  uint64_t epoch;
  int32_t verdict;
};

// What every kernel of the node combine begins with. False if this rank has failed, which its peers
// know. All threads.
__device__ inline bool enter_combine(const RankView& view, NodeCombineStorage& shared) {
  await_last_kernel();
  LocalState& state = *view.state;
  for (int rank = threadIdx.x; rank < view.num_ranks; rank += blockDim.x) {
    shared.outputs[rank] = state.pull.outputs[rank];
  }
  if (threadIdx.x == 0) {
    shared.epoch = state.pull.epoch;
    shared.verdict = state.failed != 0 ? EP4J_ABORTED : state.pull.verdict;
  }
  __syncthreads();
  return shared.verdict != EP4J_ABORTED;
}

__device__ inline int chunk_bytes(int row_bytes, int64_t begin) {
  return static_cast<int>(min(int64_t{ChunkParts::kBytes}, row_bytes - begin));
}

// A row of an output, and its weights.
__device__ inline void find_row(const PeerOutput& output, int64_t row, int row_bytes,
                                int weights_per_row, RowsHere& rows) {
  if (output.x != nullptr) {
    rows.row = output.x + row * row_bytes;
    rows.weights = output.weights + row * weights_per_row;
  }
}

}  // namespace ep4j
