// Low-latency combine: expert ranks leave their outputs in their own window, tokens' ranks read
// them there, in the order of the choices.
//
// Over load/store peers pulling moves each row once; pushing would write it to the token's rank and
// read it there again. A transport without loads replaces the stager by a pusher into slots of the
// tokens' ranks, and find_rows by their addresses; all else stays.
//
//   grid   as many blocks as the call gives multiprocessors, all resident: blocks wait
//   half      role           who                 waits for             publishes
//   send      announcer      block 0, warp 0                           CallMessage
//             output gate    block 0, warp 0     read (only to stage)  may_send
//             stager         all blocks          may_send, if not all  (rows)
//                                                have read
//             publisher      last block, or      (all blocks)          LowLatencyReady
//                            block 0 in place
//   receive   decider        block 0, warp 0     ready                 received
//             summing        all blocks          received
//   both      publisher      last block          (all blocks)          read; advances the epoch
//
// The halves run in one launch or in two. Invariants: only block 0 decides whose outputs are
// summed; the epoch advances after every block has read it; rows are complete before ready; they
// are read before read.
#include "kernels/low_latency/combine.hpp"

#include "device/load_kernels.cuh"
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

// Warp 0: all of one block waits, or nobody has to.
__device__ WaitOutcome await_readers(const LowLatencyView& view, int output, uint64_t epoch) {
  const int peer = lane_index();
  return PeerWait(view.rank).await(
      {EP4J_STAGE_READERS, output, epoch, view.rank.state->epoch + 1}, all_ranks(view.rank),
      [&](uint64_t& seen) { return look_at_reader(view, output, epoch, peer, seen); });
}

// Block 0, warp 0.
__device__ void announce(const LowLatencyCombineParams& params, CombineStorage& shared) {
  const LowLatencyView& view = params.view;
  const int peer = lane_index();
  bool may_stage = shared.failed == 0;
  if (may_stage && peer < view.rank.num_ranks && !is_masked(view.rank, peer)) {
    publish_call(view.rank, shared.epoch, call_words(params, shared), peer);
  }
  __syncwarp();
  if (may_stage && params.y != nullptr) {
    may_stage = !await_readers(view, params.output, shared.last_output).gave_up;
  }
  if (peer == 0) {
    shared.may_stage = may_stage ? 1 : 0;
    publish_decision(view.state->may_send, shared.epoch, may_stage ? EP4J_SENT : EP4J_ABORTED, 0);
  }
  __syncwarp();
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
  if (view.rank.state->failed != 0) {
    return;  // peers know: this rank's failure was published
  }
  for (int peer = warp_index(); peer < layout.num_ranks; peer += kLowLatencyWarps) {
    if (is_masked(view.rank, peer)) {
      continue;
    }
    const int64_t record = layout.ready(params.output, view.rank.rank);
    int32_t* begins = view.at<int32_t>(peer, record + kReadyBegins);
    for (int expert = lane; expert < layout.local_experts; expert += kWarpLanes) {
      begins[expert] = view.begins[peer * layout.local_experts + expert];
    }
    __syncwarp();
    if (lane == 0) {
      Published<LowLatencyReady>{view.at<LowLatencyReady>(peer, record)}.publish(shared.epoch);
    }
  }
}

__device__ void send(const LowLatencyCombineParams& params, CombineStorage& shared) {
  if (blockIdx.x == 0 && warp_index() == 0) {
    announce(params, shared);
  }
  if (!params.moves_rows()) {
    if (blockIdx.x == 0) {
      publish_outputs(params, shared);
    }
    return;
  }
  if (blockIdx.x != 0 && warp_index() == 0) {
    const bool may_stage = await_may_stage(params, shared);
    if (lane_index() == 0) {
      shared.may_stage = may_stage ? 1 : 0;
    }
  }
  __syncthreads();
  if (shared.may_stage != 0) {
    OutputStager(params, shared).run();
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

// Block 0, warp 0: waits for every expert rank's outputs.
__device__ void decide_received(const LowLatencyCombineParams& params, CombineStorage& shared) {
  const LowLatencyView& view = params.view;
  LowLatencyState& state = *view.state;
  const int peer = lane_index();
  const CallWords words = call_words(params, shared);
  int found = -1;
  WaitOutcome outcome = {true, 0};
  if (shared.failed == 0) {
    WaitSite site = {EP4J_STAGE_OUTPUT, params.output, shared.epoch, shared.epoch};
    outcome = PeerWait(view.rank).await(site, all_ranks(view.rank), [&](uint64_t& seen) {
      Look call = look_at_call(view.rank, shared.epoch, words, peer, seen);
      if (call != Look::kThere) {
        return call;
      }
      found = find_output(view, shared.epoch, peer);
      return found >= 0 ? Look::kThere : Look::kNotYet;
    });
  }
  state.peer_outputs[peer] = found;
  __syncwarp();
  if (peer == 0) {
    publish_decision(state.received, shared.epoch, outcome.gave_up ? EP4J_ABORTED : EP4J_SENT,
                     outcome.gave_up ? 0 : outcome.arrived);
  }
}

__device__ void receive(const LowLatencyCombineParams& params, CombineStorage& shared) {
  LowLatencyState& state = *params.view.state;
  if (warp_index() == 0) {
    if (blockIdx.x == 0) {
      decide_received(params, shared);
    }
    if (lane_index() == 0) {
      await_decision(state.received, shared.epoch);
    }
    __syncwarp();
    shared.outputs[lane_index()] = state.peer_outputs[lane_index()];
    if (lane_index() == 0) {
      shared.arrived = state.received.arrived;
    }
  }
  __syncthreads();
  if (state.received.verdict != EP4J_SENT) {
    return;  // peers know: this rank's failure was published
  }
  if (params.log_fmt != 0) {
    sum_tokens<LogFmtUnits>(params, shared);
  } else {
    sum_tokens<PlainUnits>(params, shared);
  }
}

// The last block, warp 0.
__device__ void end_call(const LowLatencyCombineParams& params, const CombineStorage& shared) {
  const LowLatencyView& view = params.view;
  const int peer = lane_index();
  if ((params.phases & kReceivePhase) != 0 && (shared.arrived >> peer & 1) != 0) {
    ptx::store_release_system(
        view.at<uint64_t>(peer, view.layout.read(shared.outputs[peer], view.rank.rank)),
        shared.epoch);
  }
  if ((params.phases & kSendPhase) != 0 && peer == 0) {
    view.state->output_epochs[params.output] = shared.epoch;
    view.rank.state->epoch = shared.epoch;
  }
}

__global__ void __launch_bounds__(kLowLatencyThreads, 1)
    low_latency_combine_kernel(const __grid_constant__ LowLatencyCombineParams params) {
  __shared__ CombineStorage shared;
  if (threadIdx.x == 0) {
    enter_call(params, shared);
  }
  if (params.log_fmt != 0 && threadIdx.x < kBf16Significands) {
    shared.logarithms[threadIdx.x] = log2(static_cast<double>(threadIdx.x) / 128);
  }
  __syncthreads();
  if ((params.phases & kSendPhase) != 0) {
    send(params, shared);
  }
  if ((params.phases & kReceivePhase) != 0) {
    receive(params, shared);
  }
  if (is_last_block(params.view.state->receive_blocks) && warp_index() == 0) {
    end_call(params, shared);
  }
}

__global__ void __launch_bounds__(kWarpLanes)
    await_empty_output_kernel(const __grid_constant__ LowLatencyOutputParams params) {
  const LowLatencyView& view = params.view;
  if (!has_failed(view.rank, view.rank.state->epoch + 1)) {
    await_readers(view, params.output, view.state->output_epochs[params.output]);
  }
}

}  // namespace

cudaError_t load_low_latency_combine() {
  return load_kernels(low_latency_combine_kernel, await_empty_output_kernel);
}

cudaError_t launch_low_latency_combine(const LowLatencyCombineParams& params, int num_blocks,
                                       cudaStream_t stream) {
  low_latency_combine_kernel<<<num_blocks, kLowLatencyThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

cudaError_t launch_await_empty_output(const LowLatencyOutputParams& params, cudaStream_t stream) {
  await_empty_output_kernel<<<1, kWarpLanes, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace ep4j
