// Low-latency combine: expert ranks leave their outputs in their own window, tokens' ranks read
// them there, in the order of the choices.
//
// Over load/store peers pulling moves each row once; pushing would write it to the token's rank and
// read it there again. Where only a network reaches, the stager puts rows on into slots at the
// tokens' ranks, each with a count of its own, and find_rows finds them there; all else stays.
//
//   grid   as many blocks as the call gives multiprocessors, all resident: blocks wait
//   half      role           who                 waits for             publishes
//   both      messenger      block 0, warp 1                           what the last kernel left
//   send      announcer      block 0, warp 2                           CallMessage
//             output gate    block 0, warp 0     read (only to stage)  may_send
//             stager         all blocks          may_send, if not all  (rows)
//                                                have read
//             publisher      last block, or      (all blocks)          LowLatencyReady
//                            block 0 in place
//             epoch          the last block that has read it           advances it
//   receive   decider        block 0, warp 0     ready                 received
//             summing        all blocks          received
//             messenger      block 0, warp 1                           leaves read to the next
//                                                                      kernel
//
// The halves run in one launch or in two. Invariants: only block 0 decides whose outputs are
// summed; the epoch advances after every block has read it; rows are complete before ready; they
// are read before read.
#include "kernels/low_latency/combine.hpp"

#include <type_traits>

#include "device/load_kernels.cuh"
#include "device/programmatic.cuh"
#include "kernels/low_latency/output_stager.cuh"
#include "kernels/low_latency/weighted_sum.cuh"

namespace ep4j {
namespace {

// One thread.
__device__ void enter_call(const LowLatencyCombineParams& params, CombineStorage& shared) {
  const LowLatencyState& state = *params.view.state;
  shared.last_output = state.output_epochs[params.output];
  shared.epoch = (params.phases & kSendPhase) != 0 ? params.view.rank.state->epoch + 1
                                                   : shared.last_output;
  shared.handle = state.regions[params.region].epoch;
  shared.verdict = state.regions[params.region].verdict;
  shared.failed = has_failed(params.view.rank, shared.epoch) ? 1 : 0;
}

__device__ CallWords call_words(const LowLatencyCombineParams& params,
                                const CombineStorage& shared) {
  CallWords words = params.words;
  words.handle = shared.handle;
  return words;
}

// Whether a peer has read the output's last contents.
__device__ Look look_at_reader(const LowLatencyView& view, int output, uint64_t epoch, int peer,
                               uint64_t& seen) {
  seen = ptx::load_acquire_system(view.own<uint64_t>(view.layout.read(output, peer)));
  return seen >= epoch ? Look::kThere : Look::kNotYet;
}

// One warp of a call, or of a kernel before it.
__device__ WaitOutcome await_readers(const LowLatencyView& view, int output, uint64_t epoch,
                                     uint64_t call) {
  const int peer = lane_index();
  auto look = [&](uint64_t& seen) { return look_at_reader(view, output, epoch, peer, seen); };
  const WaitSite site = {EP4J_STAGE_READERS, output, epoch, call};
  return quick_await(view.rank, site, all_ranks(view.rank), look);
}

// Block 0, warp 2: tells the peers which call this is.
__device__ void announce(const LowLatencyCombineParams& params, const CombineStorage& shared) {
  const RankView& view = params.view.rank;
  const int peer = lane_index();
  if (shared.failed == 0 && peer < view.num_ranks && !is_masked(view, peer)) {
    publish_call(view, shared.epoch, call_words(params, shared), peer);
  }
}

// Block 0, warp 0: whether the output may be written.
__device__ void open_gate(const LowLatencyCombineParams& params, CombineStorage& shared) {
  const LowLatencyView& view = params.view;
  bool may_stage = shared.failed == 0;
  if (may_stage && params.y != nullptr) {
    may_stage = !await_readers(view, params.output, shared.last_output, shared.epoch).gave_up;
  }
  if (lane_index() == 0) {
    shared.may_stage = may_stage ? 1 : 0;
    publish_decision(view.state->may_send, shared.epoch, may_stage ? EP4J_SENT : EP4J_ABORTED, 0);
  }
  __syncwarp();
}

// Counts the blocks that have read the epoch; the last one to do so advances it. One thread of
// every block, behind the barrier that follows its reading.
__device__ void leave_epoch(const LowLatencyCombineParams& params, const CombineStorage& shared) {
  LowLatencyState& state = *params.view.state;
  if (ptx::add_acq_rel_device(&state.entered_blocks, 1) == gridDim.x - 1) {
    state.entered_blocks = 0;
    state.output_epochs[params.output] = shared.epoch;
    params.view.rank.state->epoch = shared.epoch;
  }
}

// Warp 0 of another block.
__device__ bool await_may_stage(const LowLatencyCombineParams& params,
                                const CombineStorage& shared) {
  const LowLatencyView& view = params.view;
  const int peer = lane_index();
  if (params.y == nullptr) {
    return shared.failed == 0;
  }
  while (shared.failed == 0) {
    const bool is_peer = peer < view.rank.num_ranks && !is_masked(view.rank, peer);
    uint64_t seen;
    const bool has_read = !is_peer || look_at_reader(view, params.output, shared.last_output, peer,
                                                     seen) == Look::kThere;
    if (__all_sync(kAllLanes, has_read)) {
      return true;
    }
    if (__any_sync(kAllLanes, has_decision(view.state->may_send, shared.epoch))) {
      return view.state->may_send.verdict == EP4J_SENT;
    }
  }
  return false;
}

// All warps of one block: tells each peer where its rows begin, and that it may read them.
__device__ void publish_outputs(const LowLatencyCombineParams& params,
                                const CombineStorage& shared) {
  const LowLatencyView& view = params.view;
  const LowLatencyLayout& layout = view.layout;
  const int lane = lane_index();
  const int64_t record = layout.ready(params.output, view.rank.rank);
  for (int peer = warp_index(); peer < layout.num_ranks; peer += kLowLatencyWarps) {
    const uint32_t failed = view.rank.state->failed;
    const bool masked = is_masked(view.rank, peer);
    const PeerMessage<LowLatencyReady> ready(view.rank, peer, view.base + record,
                                             view.base + layout.ready_outbox(params.output, peer));
    int32_t* begins = ready.tail<int32_t>(kReadyBegins);
    for (int expert = lane; expert < layout.local_experts; expert += kWarpLanes) {
      const int32_t begin = view.begins[peer * layout.local_experts + expert];
      if (failed == 0 && !masked) {
        begins[expert] = begin;
      }
    }
    __syncwarp();
    if (lane == 0 && failed == 0 && !masked) {
      ready.record()->words = call_words(params, shared);
      if constexpr (transport::kHasRemotePeers) {
        ready.record()->returned = view.state->pieces_put[params.output][peer];
      }
      ready.publish(shared.epoch, layout.ready_bytes());
    }
  }
}

template <bool kLogFmt>
__device__ void send(const LowLatencyCombineParams& params, CombineStorage& shared) {
  if (!params.moves_rows()) {
    if (blockIdx.x == 0) {
      publish_outputs(params, shared);
      if (warp_index() == 2) {
        announce(params, shared);
      }
    }
    return;
  }
  if (blockIdx.x == 0 && warp_index() == 0) {
    open_gate(params, shared);
  } else if (blockIdx.x == 0 && warp_index() == 2) {
    announce(params, shared);
  }
  if (blockIdx.x != 0 && warp_index() == 0) {
    const bool may_stage = await_may_stage(params, shared);
    if (lane_index() == 0) {
      shared.may_stage = may_stage ? 1 : 0;
    }
  }
  __syncthreads();
  if (shared.may_stage != 0) {
    OutputStager<kLogFmt>(params, shared).run();
  }
  if (is_last_block(params.view.state->send_blocks)) {
    publish_outputs(params, shared);
  }
}

// Output in which a peer published an epoch, or -1. An output is not published again before it was
// read, so a record that was seen stays.
__device__ int find_output(const LowLatencyView& view, uint64_t epoch, int peer) {
  for (int output = 0; output < view.layout.outputs; output++) {
    Published<LowLatencyReady> ready{
        view.own<LowLatencyReady>(view.layout.ready(output, peer))};
    if (ready.seen() == epoch) {
      return output;
    }
  }
  return -1;
}

// Whether the rows that a peer put here are there, of which its message tells: a network brings
// them apart from it, in any order.
__device__ bool have_returned(const LowLatencyView& view, int output, int peer) {
  if constexpr (transport::kHasRemotePeers) {
    const uint64_t returned =
        view.own<LowLatencyReady>(view.layout.ready(output, peer))->returned;
    return transport::reaches(view.rank, peer) ||
           transport::has_reached(view.own<uint64_t>(view.layout.returned(output, peer)),
                                  returned);
  } else {
    return true;
  }
}

// Block 0, warp 0: waits for every expert rank's outputs; found: the output of this lane's rank.
__device__ WaitOutcome await_outputs(const LowLatencyCombineParams& params,
                                     const CombineStorage& shared, int& found) {
  const LowLatencyView& view = params.view;
  const int peer = lane_index();
  const CallWords words = call_words(params, shared);
  // Ranks that open and close alike use the same output.
  const LowLatencyReady* likely =
      view.own<LowLatencyReady>(view.layout.ready(params.output, peer));
  auto quick = [&] {
    if (ptx::load_acquire_system(&likely->tag) != shared.epoch || !(likely->words == words) ||
        !have_returned(view, params.output, peer)) {
      return false;
    }
    found = params.output;
    return true;
  };
  auto look = [&](uint64_t& seen) {
    Look call = look_at_call(view.rank, shared.epoch, words, peer, seen);
    if (call != Look::kThere) {
      return call;
    }
    found = find_output(view, shared.epoch, peer);
    return found >= 0 && have_returned(view, found, peer) ? Look::kThere : Look::kNotYet;
  };
  const WaitSite site = {EP4J_STAGE_OUTPUT, params.output, shared.epoch, shared.epoch};
  return quick_await(view.rank, site, all_ranks(view.rank), quick, look);
}

// Block 0, warp 0.
__device__ void decide_received(const LowLatencyCombineParams& params, CombineStorage& shared) {
  GridDecision& decision = params.view.state->received;
  const int peer = lane_index();
  int found = 0;
  WaitOutcome outcome = {true, 0};
  if (shared.failed == 0) {
    outcome = await_outputs(params, shared, found);
  }
  constexpr int kPerWord = 8;
  const uint32_t bits = static_cast<uint32_t>(max(found, 0)) << (peer % kPerWord * 4);
  for (int word = 0; word < kMaxRanks / kPerWord; word++) {
    const uint32_t all = __reduce_or_sync(kAllLanes, peer / kPerWord == word ? bits : 0);
    if (peer == 0) {
      decision.outputs[word] = all;
    }
  }
  __syncwarp();
  if (peer == 0) {
    publish_decision(decision, shared.epoch, outcome.gave_up ? EP4J_ABORTED : EP4J_SENT,
                     outcome.gave_up ? 0 : outcome.arrived);
  }
}

template <class Units>
__device__ void receive(const LowLatencyCombineParams& params, CombineStorage& shared) {
  const GridDecision& decision = params.view.state->received;
  TokenSums<Units> sums(params, shared);
  if (warp_index() == 0) {
    if (blockIdx.x == 0) {
      decide_received(params, shared);
    }
    if (lane_index() == 0) {
      await_decision(decision, shared.epoch);
    }
    __syncwarp();
    shared.outputs[lane_index()] =
        static_cast<int32_t>(decision.outputs[lane_index() / 8] >> (lane_index() % 8 * 4) & 0xF);
    if (lane_index() == 0) {
      shared.received = decision.verdict;
      shared.arrived = decision.arrived;
    }
  }
  __syncthreads();
  if (shared.received == EP4J_SENT) {
    sums.run();
  }  // else peers know: this rank's failure was published
}

// Block 0, warp 1: experts' ranks may fill their outputs again once this kernel is done.
__device__ void leave_read(const LowLatencyCombineParams& params, const CombineStorage& shared) {
  const LowLatencyView& view = params.view;
  const int peer = lane_index();
  const bool tells =
      (params.phases & kReceivePhase) != 0 && (shared.arrived >> peer & 1) != 0;
  if (tells && shared.verdict == EP4J_SENT) {
    view.rank.state->low_latency_traffic[peer].rows_combined +=
        static_cast<uint64_t>(view.state->sent_rows[params.region][peer]);
  }
  leave_pending(view, shared.epoch,
                tells ? word_at(view, peer,
                                view.layout.read(shared.outputs[peer], view.rank.rank))
                      : nullptr);
}

template <bool kLogFmt>
__global__ void __launch_bounds__(kLowLatencyThreads, 1)
    low_latency_combine_kernel(const __grid_constant__ LowLatencyCombineParams params) {
  __shared__ CombineStorage shared;
  await_last_kernel();
  if (threadIdx.x == 0) {
    enter_call(params, shared);
  }
  if (kLogFmt && threadIdx.x < kBf16Significands) {
    shared.logarithms[threadIdx.x] = log2(static_cast<double>(threadIdx.x) / 128);
  }
  __syncthreads();
  const bool is_messenger = blockIdx.x == 0 && warp_index() == 1;
  const bool sends = (params.phases & kSendPhase) != 0;
  if (sends && threadIdx.x == 3 * kWarpLanes) {
    leave_epoch(params, shared);
  }
  if (is_messenger && params.moves_rows()) {
    publish_pending(params.view);  // before anybody waits for readers
  }
  if (sends) {
    send<kLogFmt>(params, shared);
  }
  if (is_messenger && !params.moves_rows()) {
    publish_pending(params.view);  // behind what the peers wait for
  }
  if ((params.phases & kReceivePhase) != 0) {
    receive<std::conditional_t<kLogFmt, LogFmtUnits, PlainUnits>>(params, shared);
  }
  let_next_kernel_begin();
  if (is_messenger) {
    leave_read(params, shared);
  }
}

__global__ void __launch_bounds__(kWarpLanes)
    await_empty_output_kernel(const __grid_constant__ LowLatencyOutputParams params) {
  const LowLatencyView& view = params.view;
  const uint64_t call = view.rank.state->epoch + 1;
  if (!has_failed(view.rank, call)) {
    publish_pending(view);
    leave_pending(view, 0, nullptr);
    await_readers(view, params.output, view.state->output_epochs[params.output], call);
  }
}

}  // namespace

cudaError_t load_low_latency_combine() {
  return load_kernels(low_latency_combine_kernel<false>, low_latency_combine_kernel<true>,
                      await_empty_output_kernel);
}

cudaError_t launch_low_latency_combine(const LowLatencyCombineParams& params, int num_blocks,
                                       const Stream& stream) {
  auto kernel = params.log_fmt != 0 ? low_latency_combine_kernel<true>
                                    : low_latency_combine_kernel<false>;
  return launch_behind(stream, {num_blocks, kLowLatencyThreads}, kernel, params);
}

cudaError_t launch_await_empty_output(const LowLatencyOutputParams& params, cudaStream_t stream) {
  await_empty_output_kernel<<<1, kWarpLanes, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace ep4j
