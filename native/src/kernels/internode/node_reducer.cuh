// Role of node combine: a warp sums a node's rows for tokens of one rank of another node, and sends
// the sums there.
#pragma once

#include "device/transport/loopback.cuh"
#include "kernels/internode/combine_storage.cuh"
#include "kernels/internode/source_share.cuh"

namespace ep4j {

// A warp sums messages of one source. Without a queue it does its puts itself.
template <bool kWeighted, bool kQueued>
class NodeReducer {
 public:
  // Worker w of W; W is at least the number of other nodes. All lanes.
  __device__ NodeReducer(const NodeReduceParams& params, NodeCombineStorage& shared,
                         const LoopbackFabric& fabric, int worker, int workers)
      : params_(params), shared_(shared), fabric_(fabric) {
    const SourceShare mine(params.nodes, worker, workers);
    const bool masked = shared.outputs[mine.source].read == nullptr;
    next_ = mine.first;
    // Not in registers, which a sum needs.
    if (lane_index() == 0) {
      shared.shares[warp_index()] = {mine.remote, mine.source,
                                     masked ? 0 : params.node_handle.returning()[mine.node],
                                     mine.step};
    }
    __syncwarp();
  }

  // Its messages up to a number. All lanes.
  __device__ void advance(int last) {
    while (next_ <= last && next_ < share().total) {
      reduce(next_);
      next_ += share().step;
    }
  }

  __device__ void finish() { advance(share().total); }

 private:
  __device__ const ReducerShare& share() const { return shared_.shares[warp_index()]; }

  __device__ void reduce(int message) const {
    char* sum = kQueued ? params_.view.own<char>(put_of(message).source)
                        : fabric_.place(put_of(message));
    const RowsHere rows = find(message);
    for (int64_t begin = 0; begin < params_.row_bytes; begin += ChunkParts::kBytes) {
      const int bytes = chunk_bytes(params_.row_bytes, begin);
      uint4 rounded[ChunkParts::kVectors];
      sum_rows_here<kWeighted>(rows, begin, bytes, rounded);
      ChunkParts::store(rounded, sum + NodeSumRow::x() + begin, bytes);
    }
    if (params_.with_weights != 0) {
      reinterpret_cast<float*>(sum + NodeSumRow::weights())[lane_index()] =
          sum_weights_here(rows, params_.rank_major != 0, params_.num_topk);
    }
    // Worked out again: the sum needs its registers.
    if constexpr (kQueued) {
      fabric_.put(put_of(message));
    } else {
      fabric_.put_at_once(put_of(message));
    }
  }

  // Of a message's sum, to where its rows came from.
  __device__ Put put_of(int message) const {
    const InternodeLayout& layout = params_.nodes.layout;
    const int there = Topology::remote_of(params_.nodes.node(),
                                          params_.nodes.topology().node_of(share().source));
    const int output = shared_.outputs[share().source].output;
    const int64_t base = params_.nodes.base;
    return {share().source,
            static_cast<int32_t>(NodeSumRow::x()) + params_.row_bytes,
            base + layout.outgoing_sum(params_.output, share().remote, message),
            base + layout.sum(output, there, message),
            base + layout.returned(output, there, message),
            shared_.epoch};
  }

  __device__ RowsHere find(int message) const {
    const NodeHandleView& handle = params_.node_handle;
    const int lane = lane_index();
    const int fanout = params_.rank_major != 0 ? params_.nodes.topology().ranks_per_node
                                               : params_.num_topk;
    RowsHere rows = {nullptr, nullptr, 0.0f, 0};
    const int32_t row = lane < fanout ? handle.rows(share().remote, message)[lane] : -1;
    if (row >= 0) {
      const PeerOutput& output = shared_.outputs[handle.ranks(share().remote, message)[lane]];
      find_row(output, row, params_.row_bytes, params_.rank_major != 0 ? params_.num_topk : 1, rows);
      rows.gate = kWeighted ? handle.weights(share().remote, message)[lane] : 1.0f;
    }
    rows.lanes = __ballot_sync(kAllLanes, rows.row != nullptr);
    return rows;
  }

  const NodeReduceParams& params_;
  const NodeCombineStorage& shared_;
  const LoopbackFabric& fabric_;
  int next_;  // message that this warp is at
};

}  // namespace ep4j
