// Node dispatch: a row crosses the network once for each other node, and fans out there.
//
//   source s (node A)                rank of the same number on node B      destinations (node B)
//   sender: x -> outgoing -> fabric ---> incoming, signal -> forwarder ---> region
//   sender: x -> regions of node A    <--- credit
//
//   grid   as many blocks as the call gives multiprocessors; those of all ranks are resident at once
//   role        warps               waits for                       publishes
//   sender      Shape::kSenders     credits of the proxies          (puts)
//   forwarder   Shape::kForwarders  messages of one source          credits
//   fabric      the others          senders and forwarders          signals
//   padding     all                                                 (rows that nobody writes)
//   publisher   last block                                          arrived; dropped
//
// Ranks of other nodes never write to a region: the proxy publishes the word of a source for all
// ranks of its node, and its own word after these. So who has seen a proxy's own word has seen all
// that the proxy will ever write in this call, also on behalf of others.
//
// Invariant: when the launch ends every put is complete and every message that came was forwarded.
// As a rank grants the next dispatch only afterwards, its places are free when a source begins.
#include "kernels/internode/dispatch.hpp"

#include "device/load_kernels.cuh"
#include "device/programmatic.cuh"
#include "device/routing/padding.cuh"
#include "device/sync/grid_end.cuh"
#include "kernels/internode/forwarder.cuh"
#include "kernels/internode/message_sender.cuh"

namespace ep4j {
namespace {

constexpr int kScratchWords = kCastChunkBytes / kSourceGroupBytes;

struct SharedStorage {
  Destination destinations[kMaxRanks];
  uint64_t pardoned[kMaxRanks];
  uint64_t epoch;
  int64_t region_rows;
  int32_t verdict;
  int32_t num_received;
  uint32_t scratch[kNodeWarps][kScratchWords];
};

__device__ void load_plan(const NodeDispatchParams& params, SharedStorage& shared) {
  const SendPlan& plan = params.view.state->send;
  for (int rank = threadIdx.x; rank < params.view.num_ranks; rank += blockDim.x) {
    shared.destinations[rank] = plan.destinations[rank];
    shared.pardoned[rank] = params.view.state->pardoned_masks[rank];
  }
  if (threadIdx.x == 0) {
    shared.epoch = plan.epoch;
    shared.region_rows = plan.region_rows;
    shared.verdict = plan.verdict;
    shared.num_received = plan.num_received;
  }
  __syncthreads();
}

template <bool kCast, class Shape>
__device__ void run_role(const NodeDispatchParams& params, SharedStorage& shared) {
  constexpr int kAskers = Shape::kSenders + Shape::kForwarders;
  constexpr int kWorkers = kNodeWarps - kAskers;
  const int warp = warp_index();
  const int block = static_cast<int>(blockIdx.x);
  const int blocks = static_cast<int>(gridDim.x);
  const LoopbackFabric fabric(params.view, params.nodes.state->fabric, params.nodes.puts);
  if (warp < Shape::kSenders) {
    NodeMessageSender<kCast> sender(params, shared.destinations, shared.epoch, fabric,
                                    shared.pardoned, shared.scratch[warp]);
    sender.run(block * Shape::kSenders + warp, blocks * Shape::kSenders);
    fabric.finish_asking();
  } else if (warp < kAskers) {
    const int worker = block * Shape::kForwarders + warp - Shape::kSenders;
    Forwarder(params, shared.destinations, shared.epoch, fabric,
              SourceShare(params.nodes, worker, blocks * Shape::kForwarders))
        .run();
    fabric.finish_asking();
  } else {
    const int worker = block * kWorkers + warp - kAskers;
    fabric.work(worker, blocks * kWorkers, blocks * kAskers, params.nodes.seed);
  }
}

// A call that was dropped leaves no rows in its handle.
__device__ void forget_rows(const NodeDispatchParams& params) {
  if (params.counted == 0) {
    return;
  }
  const int64_t step = int64_t{gridDim.x} * blockDim.x;
  const int64_t first = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (int64_t i = first; i < int64_t{params.num_tokens} * params.fanout; i += step) {
    params.handle.rows[i] = -1;
  }
  const int nodes = params.nodes.topology().num_nodes();
  for (int64_t i = first; i < int64_t{params.num_tokens} * nodes; i += step) {
    *params.node_handle.message(0, static_cast<int>(i)) = -1;
  }
  if (first < nodes) {
    params.node_handle.forwarded()[first] = 0;
  }
}

// Thread s: the word of source s of another node, at each rank of this one that let this rank in.
__device__ void publish_forwarded(const NodeDispatchParams& params, const SharedStorage& shared) {
  const RankView& view = params.view;
  const Topology& topology = params.nodes.topology();
  const int own = params.nodes.node();
  const int node = static_cast<int>(threadIdx.x);
  const uint32_t lost = params.nodes.state->lost;
  if (node < topology.num_nodes() && node != own) {
    const int source = topology.proxy(view.rank, node);
    const bool whole = (lost >> node & 1) == 0;
    for (int to = topology.first_rank(own); to < topology.first_rank(own + 1); to++) {
      if (shared.destinations[to].arrived != nullptr) {
        char* word = reinterpret_cast<char*>(shared.destinations[to].arrived) +
                     (source - view.rank) * kLineBytes;
        const bool all = whole && !is_masked_by(view, to);
        ptx::store_release_system(reinterpret_cast<uint64_t*>(word),
                                  Arrival::word(shared.epoch, all ? shared.verdict : EP4J_ABORTED));
      }
    }
    if (params.counted != 0) {
      params.node_handle.returning()[node] = whole ? params.node_handle.forwarded()[node] : 0;
    }
    if (shared.verdict != EP4J_SENT && !is_masked(view, source)) {
      const int64_t word = params.nodes.layout.dropped(Topology::remote_of(own, node));
      transport::publish(view, source,
                         transport::word_at(view, source, params.nodes.base + word),
                         Arrival::word(shared.epoch, shared.verdict));
    }
  } else if (node == own && params.counted != 0) {
    params.node_handle.returning()[own] = 0;
  }
}

// Thread d: this rank's own word at rank d of its node.
__device__ void publish_own(const NodeDispatchParams& params, const SharedStorage& shared) {
  LocalState& state = *params.view.state;
  const int rank = static_cast<int>(threadIdx.x);
  const uint32_t stopped = ptx::load_relaxed_system(&state.stopped);
  if (rank < params.view.num_ranks && shared.destinations[rank].arrived != nullptr &&
      (ranks_of_node(params.view) >> rank & 1) != 0) {
    const bool stopped_here = (stopped >> rank & 1) != 0;
    ptx::store_release_system(
        shared.destinations[rank].arrived,
        Arrival::word(shared.epoch, stopped_here ? EP4J_ABORTED : shared.verdict));
  }
}

// All threads of the last block.
__device__ void end_launch(const NodeDispatchParams& params, const SharedStorage& shared) {
  LocalState& state = *params.view.state;
  // A rank that gave up has said so, and its peers go by that.
  if (ptx::load_relaxed_system(&state.failed) == 0) {
    publish_forwarded(params, shared);
    __syncthreads();
    publish_own(params, shared);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    state.stopped = 0;
    state.claimed = 0;
    params.nodes.state->lost = 0;
    LoopbackFabric(params.view, params.nodes.state->fabric, params.nodes.puts).end_launch();
  }
}

template <bool kCast, class Shape>
__global__ void __launch_bounds__(kNodeThreads, 1)
    node_dispatch_kernel(const __grid_constant__ NodeDispatchParams params) {
  __shared__ SharedStorage shared;
  await_last_kernel();
  load_plan(params, shared);
  if (shared.verdict == EP4J_ABORTED) {
    return;  // peers know: this rank's failure was published
  }
  if (shared.verdict == EP4J_SENT) {
    run_role<kCast, Shape>(params, shared);
  } else {
    forget_rows(params);
  }
  let_next_kernel_begin();
  Padding(params, shared.region_rows, shared.num_received).fill();
  if (is_last_block(params.view.state->blocks_done)) {
    end_launch(params, shared);
  }
}

template <bool kCast, class Messages>
auto kernel_for(int num_nodes) {
  return num_nodes == 2 ? node_dispatch_kernel<kCast, typename Messages::TwoNodes>
                        : node_dispatch_kernel<kCast, typename Messages::MoreNodes>;
}

auto kernel_for(const NodeDispatchParams& params) {
  const int num_nodes = params.nodes.topology().num_nodes();
  const RowForm& form = params.layout.form;
  if (params.cast != EP4J_CAST_NONE) {
    return kernel_for<true, CastMessages>(num_nodes);
  }
  return NodeMessage{form.row_bytes, form.scale_words}.bytes() >= kLongMessageBytes
             ? kernel_for<false, LongMessages>(num_nodes)
             : kernel_for<false, ShortMessages>(num_nodes);
}

}  // namespace

cudaError_t load_node_dispatch() {
  return load_kernels(kernel_for<false, LongMessages>(2), kernel_for<false, LongMessages>(3),
                      kernel_for<false, ShortMessages>(2), kernel_for<false, ShortMessages>(3),
                      kernel_for<true, CastMessages>(2), kernel_for<true, CastMessages>(3));
}

cudaError_t launch_node_dispatch(const NodeDispatchParams& params, int num_blocks,
                                 const Stream& stream) {
  return launch_behind(stream, {num_blocks, kNodeThreads}, kernel_for(params), params);
}

}  // namespace ep4j
