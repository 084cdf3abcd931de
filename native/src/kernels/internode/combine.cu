// Node combine: rows are summed inside their node first, and one row per node and token comes back.
//
//   expert ranks (node B)   rank of the same number as s on node B        source s (node A)
//   outputs --------------> reducer: sum, rounded -> outgoing -> fabric -> sums, returned
//                                                                           summer: all nodes' parts
//
//   kernel       role      warps           waits for            publishes
//   node_reduce  reducer   kReducerWarps   –                    (puts)
//                fabric    the others      reducers             returned
//   node_sum     summer    all             returned             –
//                publisher last block                           read, at every peer with outputs
//
// Without a seed for the loopback's order all warps reduce, and do their puts themselves.
//
// The first is the sending half and waits for no receiving half: sums has a place for every token of
// an output, so receives may be issued in any order. Summing takes a node's parts as they come.
//
// Invariant: read is published after the last look at any output, also on behalf of other nodes,
// because a rank receives a combine after it has sent it.
#include "kernels/internode/combine.hpp"

#include "device/load_kernels.cuh"
#include "device/sync/grid_end.cuh"
#include "device/sync/peer_wait.cuh"
#include "device/transport/loopback.cuh"
#include "kernels/internode/node_rows.cuh"
#include "kernels/internode/shapes.hpp"

namespace ep4j {
namespace {

struct SharedStorage {
  PeerOutput outputs[kMaxRanks];
  uint64_t epoch;
  int32_t verdict;
};

__device__ void load_outputs(const RankView& view, SharedStorage& shared) {
  LocalState& state = *view.state;
  for (int rank = threadIdx.x; rank < view.num_ranks; rank += blockDim.x) {
    shared.outputs[rank] = state.pull.outputs[rank];
  }
  if (threadIdx.x == 0) {
    shared.epoch = state.pull.epoch;
    shared.verdict = state.failed != 0 ? EP4J_ABORTED : state.pull.verdict;
  }
  __syncthreads();
}

__device__ int chunk_bytes(int row_bytes, int64_t begin) {
  return static_cast<int>(min(int64_t{ChunkParts::kBytes}, row_bytes - begin));
}

// A row of an output, and its weights.
__device__ void find_row(const PeerOutput& output, int64_t row, int row_bytes, int weights_per_row,
                         RowsHere& rows) {
  if (output.x != nullptr) {
    rows.row = output.x + row * row_bytes;
    rows.weights = output.weights + row * weights_per_row;
  }
}

// A warp sums messages of one source. Without a queue it does its puts itself.
template <bool kWeighted, bool kQueued>
class Reducer {
 public:
  __device__ Reducer(const NodeReduceParams& params, const SharedStorage& shared,
                     const LoopbackFabric& fabric)
      : params_(params), shared_(shared), fabric_(fabric) {}

  // Worker w of W; W is at least the number of other nodes. All lanes.
  __device__ void run(int worker, int workers) const {
    const Topology& topology = params_.nodes.topology();
    const int remotes = topology.remotes();
    const int remote = worker % remotes;
    const int node = Topology::node_of_remote(remote, params_.nodes.node());
    const int source = topology.proxy(params_.view.rank, node);
    if (shared_.outputs[source].read == nullptr) {
      return;  // masked
    }
    const int step = (workers - remote + remotes - 1) / remotes;
    const int total = params_.node_handle.returning()[node];
    for (int message = worker / remotes; message < total; message += step) {
      reduce(remote, source, message);
    }
  }

 private:
  __device__ void reduce(int remote, int source, int message) const {
    const InternodeLayout& layout = params_.nodes.layout;
    const RowsHere rows = find(remote, message);
    const int64_t outgoing = layout.outgoing_sum(params_.output, remote, message);
    char* slot = params_.nodes.own<char>(outgoing);
    for (int64_t begin = 0; begin < params_.row_bytes; begin += ChunkParts::kBytes) {
      const int bytes = chunk_bytes(params_.row_bytes, begin);
      uint4 rounded[ChunkParts::kVectors];
      sum_rows_here<kWeighted>(rows, begin, bytes, rounded);
      ChunkParts::store(rounded, slot + NodeSumRow::x() + begin, bytes);
    }
    if (params_.with_weights != 0) {
      reinterpret_cast<float*>(slot + NodeSumRow::weights())[lane_index()] =
          sum_weights_here(rows, params_.rank_major != 0, params_.num_topk);
    }
    const int there = Topology::remote_of(params_.nodes.node(),
                                          params_.nodes.topology().node_of(source));
    const int output = shared_.outputs[source].output;
    const int64_t base = params_.nodes.base;
    const Put put = {source,
                     static_cast<int32_t>(NodeSumRow::x()) + params_.row_bytes,
                     base + outgoing,
                     base + layout.sum(output, there, message),
                     base + layout.returned(output, there, message),
                     shared_.epoch};
    if constexpr (kQueued) {
      fabric_.put(put);
    } else {
      fabric_.put_at_once(put);
    }
  }

  __device__ RowsHere find(int remote, int message) const {
    const NodeHandleView& handle = params_.node_handle;
    const int lane = lane_index();
    const int fanout = params_.rank_major != 0 ? params_.nodes.topology().ranks_per_node
                                               : params_.num_topk;
    RowsHere rows = {nullptr, nullptr, 0.0f, 0};
    const int32_t row = lane < fanout ? handle.rows(remote, message)[lane] : -1;
    if (row >= 0) {
      const PeerOutput& output = shared_.outputs[handle.ranks(remote, message)[lane]];
      find_row(output, row, params_.row_bytes, params_.rank_major != 0 ? params_.num_topk : 1, rows);
      rows.gate = kWeighted ? handle.weights(remote, message)[lane] : 1.0f;
    }
    rows.lanes = __ballot_sync(kAllLanes, rows.row != nullptr);
    return rows;
  }

  const NodeReduceParams& params_;
  const SharedStorage& shared_;
  const LoopbackFabric& fabric_;
};

template <bool kWeighted, bool kQueued>
__global__ void __launch_bounds__(kNodeThreads, 1)
    node_reduce_kernel(const __grid_constant__ NodeReduceParams params) {
  __shared__ SharedStorage shared;
  load_outputs(params.view, shared);
  if (shared.verdict == EP4J_ABORTED) {
    return;
  }
  const int warp = warp_index();
  const int block = static_cast<int>(blockIdx.x);
  const int blocks = static_cast<int>(gridDim.x);
  constexpr int kReducers = kQueued ? kReducerWarps : kNodeWarps;
  const LoopbackFabric fabric(params.view, params.nodes.state->fabric, params.nodes.puts);
  if (warp < kReducers) {
    Reducer<kWeighted, kQueued>(params, shared, fabric)
        .run(block * kReducers + warp, blocks * kReducers);
    fabric.finish_asking();
  } else {
    constexpr int kWorkers = kNodeWarps - kReducers;
    fabric.work(block * kWorkers + warp - kReducers, blocks * kWorkers, blocks * kReducers,
                params.nodes.seed);
  }
  __syncwarp();
  if (is_last_block(*params.view.state) && threadIdx.x == 0) {
    fabric.end_launch();
  }
}

// A warp sums all nodes' parts of its tokens.
template <bool kWeighted>
class Summer {
 public:
  __device__ Summer(const NodeSumParams& params, const SharedStorage& shared)
      : params_(params), shared_(shared), topology_(params.nodes.topology()) {}

  // All lanes.
  __device__ void run(int first, int step) {
    // The last first: those parts came last, and the cache may still hold them.
    for (int token = params_.num_tokens - 1 - first; token >= 0; token -= step) {
      if (!await_parts(token)) {
        return;
      }
      const RowsHere rows = find(token);
      for (int64_t begin = 0; begin < params_.row_bytes; begin += ChunkParts::kBytes) {
        sum_chunk(token, rows, begin);
      }
      if (params_.out_weights != nullptr) {
        sum_weights(token, rows);
      }
    }
    if (combined_ > 0) {
      const unsigned long long parts = static_cast<unsigned long long>(combined_);
      NodeTraffic& traffic = params_.nodes.state->network[lane_index()];
      atomicAdd(&traffic.rows_combined, parts);
      atomicAdd(&traffic.bytes_combined, parts * static_cast<unsigned long long>(params_.row_bytes));
    }
  }

 private:
  // Waits for the token's parts from other nodes; lane n then knows where node n's is. False if this
  // rank gave up.
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
    WaitSite site = {EP4J_STAGE_SUM, params_.output, shared_.epoch, shared_.epoch};
    const uint32_t awaited = __ballot_sync(kAllLanes, comes);
    WaitOutcome outcome = PeerWait(params_.view).await(site, awaited, [&](uint64_t& seen) {
      if (transport::has_come(params_.view, lane, returned, shared_.epoch)) {
        return Look::kThere;
      }
      seen = ptx::load_relaxed_system(returned);
      return Look::kNotYet;
    });
    if (outcome.gave_up) {
      return false;
    }
    const char* place = (outcome.arrived >> lane & 1) != 0
                            ? params_.nodes.own<char>(layout.sum(params_.output, remote, message))
                            : nullptr;
    // From the lanes of proxies to the lanes of their nodes.
    const int proxy = topology_.proxy(params_.view.rank, min(lane, topology_.num_nodes() - 1));
    part_ = reinterpret_cast<const char*>(
        __shfl_sync(kAllLanes, reinterpret_cast<uint64_t>(place), proxy));
    part_ = lane < topology_.num_nodes() && lane != own ? part_ : nullptr;
    parts_ = __ballot_sync(kAllLanes, part_ != nullptr);
    combined_ += part_ != nullptr ? 1 : 0;
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
      sum.add<false>(params_.bias0 + offset, bytes, 1.0f);
    }
    for_each_lane(parts_ | 1u << own, [&](int node) {
      if (node == own) {
        sum.add_vectors<false>(vectors, 1.0f);
      } else {
        sum.add<false>(part(node) + NodeSumRow::x() + begin, bytes, 1.0f);
      }
    });
    sum.round(vectors);
    ChunkParts::store(vectors, params_.out + offset, bytes);
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

  __device__ const char* part(int node) const {
    return reinterpret_cast<const char*>(
        __shfl_sync(kAllLanes, reinterpret_cast<uint64_t>(part_), node));
  }

  const NodeSumParams& params_;
  const SharedStorage& shared_;
  const Topology& topology_;
  const char* part_ = nullptr;  // lane n: node n's
  uint32_t parts_ = 0;          // nodes that have one
  int32_t combined_ = 0;        // lane n: parts of node n so far
};

template <bool kWeighted>
__global__ void __launch_bounds__(kNodeThreads, 1)
    node_sum_kernel(const __grid_constant__ NodeSumParams params) {
  __shared__ SharedStorage shared;
  load_outputs(params.view, shared);
  if (shared.verdict == EP4J_ABORTED) {
    return;  // peers know: this rank's failure was published
  }
  Summer<kWeighted>(params, shared)
      .run(static_cast<int>(blockIdx.x) * kNodeWarps + warp_index(),
           static_cast<int>(gridDim.x) * kNodeWarps);
  __syncwarp();
  LocalState& state = *params.view.state;
  if (is_last_block(state)) {
    const int rank = static_cast<int>(threadIdx.x);
    if (rank < params.view.num_ranks && shared.outputs[rank].read != nullptr &&
        ptx::load_relaxed_system(&state.failed) == 0) {
      transport::publish(params.view, rank, shared.outputs[rank].read, shared.epoch);
    }
  }
}

}  // namespace

cudaError_t load_node_combine() {
  return load_kernels(node_reduce_kernel<false, false>, node_reduce_kernel<false, true>,
                      node_reduce_kernel<true, false>, node_reduce_kernel<true, true>,
                      node_sum_kernel<false>, node_sum_kernel<true>);
}

cudaError_t launch_node_reduce(const NodeReduceParams& params, int num_blocks,
                               cudaStream_t stream) {
  // Only puts with a seed come in any order.
  const bool queued = params.nodes.seed != 0;
  auto plain = queued ? node_reduce_kernel<false, true> : node_reduce_kernel<false, false>;
  auto weighted = queued ? node_reduce_kernel<true, true> : node_reduce_kernel<true, false>;
  auto kernel = params.weighted != 0 ? weighted : plain;
  kernel<<<num_blocks, kNodeThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

cudaError_t launch_node_sum(const NodeSumParams& params, int num_blocks, cudaStream_t stream) {
  auto kernel = params.weighted != 0 ? node_sum_kernel<true> : node_sum_kernel<false>;
  kernel<<<num_blocks, kNodeThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace ep4j
