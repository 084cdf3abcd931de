// Role of node combine: a warp sums what all nodes have of its tokens, its own node's rows among it.
#pragma once

#include "device/sync/quick_wait.cuh"
#include "device/transport/fabric.cuh"
#include "kernels/internode/combine_storage.cuh"

namespace ep4j {

// A warp sums all nodes' parts of its tokens.
template <bool kWeighted>
class NodeSummer {
 public:
  __device__ NodeSummer(const NodeSumParams& params, NodeCombineStorage& shared)
      : params_(params),
        shared_(shared),
        combined_(shared.combined[warp_index()][lane_index()]),
        topology_(params.nodes.topology()) {
    combined_ = 0;
  }

  // False if this rank gave up. All lanes.
  __device__ bool sum(int token) {
    if (!await_parts(token)) {
      return false;
    }
    const RowsHere rows = find(token);
    for (int64_t begin = 0; begin < params_.row_bytes; begin += ChunkParts::kBytes) {
      sum_chunk(token, rows, begin);
    }
    if (params_.out_weights != nullptr) {
      sum_weights(token, rows);
    }
    discard_parts();
    return true;
  }

  // Once, after the last token.
  __device__ void count_traffic() const {
    if (combined_ > 0) {
      const uint64_t parts = static_cast<uint64_t>(combined_);
      NodeTraffic& traffic = params_.nodes.state->network[lane_index()];
      add_word(traffic.rows_combined, parts);
      add_word(traffic.bytes_combined, parts * static_cast<uint64_t>(params_.row_bytes));
    }
  }

 private:
  // Waits for the token's parts from other nodes. False if this rank gave up.
  __device__ bool await_parts(int token) {
    const InternodeLayout& layout = params_.nodes.layout;
    const int own = params_.nodes.node();
    const int lane = lane_index();
    // Lane r: message of the token to rank r's node, if r is this rank's proxy there.
    const int node = min(topology_.node_of(lane), topology_.num_nodes() - 1);
    const bool is_proxy = lane < params_.view.num_ranks && node != own &&
                          topology_.proxy(params_.view.rank, node) == lane &&
                          shared_.outputs[lane].read != nullptr;
    const int32_t message = is_proxy ? *params_.node_handle.message(token, node) : -1;
    const bool comes = message >= 0 && message < shared_.outputs[lane].returns;
    const int remote = Topology::remote_of(node, own);
    uint64_t* returned =
        comes ? params_.nodes.own<uint64_t>(layout.returned(params_.output, remote, message))
              : nullptr;
    const uint32_t awaited = __ballot_sync(kAllLanes, comes);
    auto quick = [&] {
      return transport::has_come(params_.view, lane, returned, shared_.epoch);
    };
    auto look = [&](uint64_t& seen) {
      if (quick()) {
        return Look::kThere;
      }
      seen = ptx::load_relaxed_system(returned);
      return Look::kNotYet;
    };
    const WaitSite site = {EP4J_STAGE_SUM, params_.output, shared_.epoch, shared_.epoch};
    const WaitOutcome outcome = quick_await(params_.view, site, awaited, quick, look);
    if (outcome.gave_up) {
      return false;
    }
    const char* place = (outcome.arrived >> lane & 1) != 0
                            ? params_.nodes.own<char>(layout.sum(params_.output, remote, message))
                            : nullptr;
    // From the lanes of proxies to the lanes of their nodes.
    const int proxy = topology_.proxy(params_.view.rank, min(lane, topology_.num_nodes() - 1));
    const char* part = reinterpret_cast<const char*>(
        __shfl_sync(kAllLanes, reinterpret_cast<uint64_t>(place), proxy));
    part = lane < topology_.num_nodes() && lane != own ? part : nullptr;
    shared_.parts[warp_index()][lane] = part;
    parts_ = __ballot_sync(kAllLanes, part != nullptr);
    combined_ += part != nullptr ? 1 : 0;
    __syncwarp();
    return true;
  }

  // Rows of the token in this node.
  __device__ RowsHere find(int token) const {
    const int lane = lane_index();
    const int64_t entry = int64_t{token} * params_.fanout + lane;
    RowsHere rows = {nullptr, nullptr, 0.0f, 0};
    const int32_t row = lane < params_.fanout ? params_.handle.rows[entry] : -1;
    if (row >= 0) {
      const int peer = params_.rank_major != 0
                           ? lane
                           : params_.handle.experts[entry] / params_.view.local_experts;
      if (topology_.node_of(peer) == params_.nodes.node()) {
        find_row(shared_.outputs[peer], row, params_.row_bytes,
                 params_.rank_major != 0 ? params_.num_topk : 1, rows);
      }
      rows.gate = kWeighted ? params_.handle.weights[entry] : 1.0f;
    }
    rows.lanes = __ballot_sync(kAllLanes, rows.row != nullptr);
    return rows;
  }

  // The own node is rounded like the others, and added in its turn.
  __device__ void sum_chunk(int token, const RowsHere& rows, int64_t begin) const {
    const int bytes = chunk_bytes(params_.row_bytes, begin);
    const int64_t offset = int64_t{token} * params_.row_bytes + begin;
    const int own = params_.nodes.node();
    uint4 vectors[ChunkParts::kVectors];
    sum_rows_here<kWeighted>(rows, begin, bytes, vectors);
    ChunkParts sum;
    if (params_.bias1 != nullptr) {
      sum.add_pair(params_.bias0 + offset, params_.bias1 + offset, bytes);
    } else if (params_.bias0 != nullptr) {
      sum.add(params_.bias0 + offset, bytes);
    }
    for_each_lane(parts_ | 1u << own, [&](int node) {
      if (node == own) {
        sum.add_vectors<false>(vectors, 1.0f);
      } else {
        sum.add(part(node) + NodeSumRow::x() + begin, bytes);
      }
    });
    sum.round(vectors);
    ChunkParts::store_once(vectors, params_.out + offset, bytes);
  }

  // Rank-major: node by node like the rows, but never rounded below float32; expert-major: each
  // choice's own, wherever it is.
  __device__ void sum_weights(int token, const RowsHere& rows) const {
    const int lane = lane_index();
    const int own = params_.nodes.node();
    const float here = sum_weights_here(rows, params_.rank_major != 0, params_.num_topk);
    const int home = params_.rank_major != 0 ? -1 : node_of_choice(token);
    float sum = 0.0f;
    for_each_lane(parts_ | 1u << own, [&](int node) {
      const char* from = part(node);
      const float there =
          node == own ? here
                      : reinterpret_cast<const float*>(from + NodeSumRow::weights())[lane];
      if (params_.rank_major != 0) {
        sum += there;
      } else if (node == home) {
        sum = there;
      }
    });
    if (lane < params_.num_topk) {
      params_.out_weights[int64_t{token} * params_.num_topk + lane] = sum;
    }
  }

  // Of this lane's choice; -1 for none.
  __device__ int node_of_choice(int token) const {
    const int lane = lane_index();
    const int32_t expert = lane < params_.fanout
                               ? params_.handle.experts[int64_t{token} * params_.fanout + lane]
                               : -1;
    return expert < 0 ? -1 : topology_.node_of(expert / params_.view.local_experts);
  }

  __device__ void discard_parts() const {
    __syncwarp();
    for_each_lane(parts_, [&](int node) {
      discard(const_cast<char*>(part(node)), NodeSumRow::x() + params_.row_bytes);
    });
  }

  __device__ const char* part(int node) const {
    return shared_.parts[warp_index()][node];
  }

  const NodeSumParams& params_;
  NodeCombineStorage& shared_;
  int32_t& combined_;  // lane n: parts of node n so far; not in a register, which a sum needs
  const Topology& topology_;
  uint32_t parts_ = 0;  // nodes that have one
};

}  // namespace ep4j
