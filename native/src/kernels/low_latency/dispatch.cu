// Low-latency dispatch: rows go to slots at their experts' ranks without waiting for anybody to
// call, and are packed there once all are in.
//
//   grid   as many blocks as the call gives multiprocessors, all resident: blocks wait
//   half      role             who                 waits for         publishes
//   send      announcer        block 0, warp 0     emptied           CallMessage; may_send
//             message sender   all blocks          may_send, if not  (slots, counts)
//                                                  all are empty
//             publisher        last block          (all blocks)      LandedMessage
//   receive   decider          block 0, warp 0     landed            received
//             packer           all blocks          received
//             publisher        last block          (all blocks)      emptied
//
// The halves run in one launch or in two; between two no multiprocessor is used. A dispatch uses
// inbox (ordinal mod inboxes), which is free when the dispatch before in it has been packed
// everywhere: nothing else is asked of a receiver, so any result may stay open.
//
// Invariants: what every block reads on entry is advanced by the last block, which comes after all
// have read it; only block 0 decides what came, so that all blocks pack the same rows; counts and
// slots are complete before landed, all slots are read before emptied.
#include "kernels/low_latency/dispatch.hpp"

#include "kernels/low_latency/message_packer.cuh"
#include "kernels/low_latency/message_sender.cuh"

namespace ep4j {
namespace {

// Whether a destination's inbox may be written.
__device__ Look look_at_inbox(const LowLatencyView& view, const DispatchStorage& shared, int peer,
                              uint64_t& seen) {
  seen = ptx::load_acquire_system(view.own<uint64_t>(view.layout.emptied(shared.inbox, peer)));
  return seen >= shared.inbox_epoch ? Look::kThere : Look::kNotYet;
}

// Block 0, warp 0: tells the peers which call this is, and waits for their inboxes.
__device__ void announce(const LowLatencyDispatchParams& params, DispatchStorage& shared) {
  const LowLatencyView& view = params.view;
  const int peer = lane_index();
  WaitOutcome outcome = {true, 0};
  if (shared.failed == 0) {
    if (peer < view.rank.num_ranks && !is_masked(view.rank, peer)) {
      publish_call(view.rank, shared.epoch, params.words, peer);
    }
    outcome = PeerWait(view.rank).await(
        {EP4J_STAGE_INBOX, params.region, shared.epoch, shared.epoch}, all_ranks(view.rank),
        [&](uint64_t& seen) {
          // A rank that is masked would learn it from nobody's silence: its inbox is empty, and its
          // peers may have sent before they gave it up. So it looks, and the wait says why.
          const Look inbox = look_at_inbox(view, shared, peer, seen);
          return is_masked_by(view.rank, peer) ? Look::kNotYet : inbox;
        });
  }
  if (peer == 0) {
    shared.open = outcome.arrived;
    publish_decision(view.state->may_send, shared.epoch,
                     outcome.gave_up ? EP4J_ABORTED : EP4J_SENT, outcome.arrived);
  }
  __syncwarp();
}

// Warp 0 of another block: goes on when it sees that all inboxes are empty, which they nearly
// always are, or when block 0 has given up on some.
__device__ uint32_t await_open(const LowLatencyDispatchParams& params,
                               const DispatchStorage& shared) {
  const LowLatencyView& view = params.view;
  const int peer = lane_index();
  if (blockIdx.x == 0) {
    return shared.open;
  }
  while (shared.failed == 0) {
    const bool is_peer = peer < view.rank.num_ranks && !is_masked(view.rank, peer);
    uint64_t seen;
    const bool open = is_peer && look_at_inbox(view, shared, peer, seen) == Look::kThere;
    if (__all_sync(kAllLanes, open || !is_peer)) {
      return __ballot_sync(kAllLanes, open);
    }
    if (__any_sync(kAllLanes, has_decision(view.state->may_send, shared.epoch))) {
      return view.state->may_send.arrived;
    }
  }
  return 0;
}

__device__ Refusal refusal_of(const LowLatencyDispatchParams& params, uint64_t bad) {
  if (bad == BadChoice::kNone) {
    return {EP4J_ROUTING_GOOD, 0, 0};
  }
  const int64_t index = BadChoice::index(bad);
  const int64_t value = params.index_bytes == 8
                            ? static_cast<const int64_t*>(params.topk_idx)[index]
                            : static_cast<const int32_t*>(params.topk_idx)[index];
  return {BadChoice::rule(bad),
          static_cast<int32_t>(static_cast<uint32_t>(index) /
                               static_cast<uint32_t>(params.num_topk)),
          value};
}

// The last block, warp 0.
__device__ void end_send(const LowLatencyDispatchParams& params, const DispatchStorage& shared) {
  const LowLatencyView& view = params.view;
  LowLatencyState& state = *view.state;
  const int peer = lane_index();
  const Refusal refusal = refusal_of(params, state.bad_choice);
  const bool failed = view.rank.state->failed != 0;
  if (!failed && peer < view.rank.num_ranks && !is_masked(view.rank, peer)) {
    Published<LandedMessage> landed{landed_at(view, peer, shared.inbox, view.rank.rank)};
    landed.record->refusal = refusal;
    landed.publish(shared.epoch);
  }
  __syncwarp();
  if (peer == 0) {
    state.bad_choice = BadChoice::kNone;
    state.inbox_epochs[shared.inbox] = shared.epoch;
    state.dispatches++;
    state.regions[params.region] = {shared.epoch, shared.inbox, EP4J_ABORTED};
    view.rank.state->epoch = shared.epoch;
  }
}

template <bool kBulk>
__device__ void send(const LowLatencyDispatchParams& params, DispatchStorage& shared,
                     char* memory) {
  if (blockIdx.x == 0) {
    if (warp_index() == 0) {
      announce(params, shared);
    }
    __syncthreads();
  }
  MessageSender<kBulk>(params, shared, memory).run([&] { return await_open(params, shared); });
  if (is_last_block(params.view.state->send_blocks) && warp_index() == 0) {
    end_send(params, shared);
  }
}

// A refused routing anywhere drops the call everywhere. The lane of the rank that refused.
__device__ void report_refusal(const LowLatencyDispatchParams& params, uint64_t epoch, int source,
                               const Refusal& refusal) {
  FaultRecord* record = params.view.rank.drop;
  if (!claim_record(record)) {
    return;
  }
  record->fault = EP4J_FAULT_REFUSED;
  record->stage = EP4J_STAGE_ARRIVAL;
  record->peer = source;
  record->origin = params.view.rank.rank;
  record->region = params.region;
  record->expected = epoch;
  record->seen = epoch;
  record->refusal = refusal;
  complete_record(record);
}

// Block 0, warp 0: waits for every source's rows, and for the readers of the output that the
// result's expert outputs will go to.
__device__ void decide_received(const LowLatencyDispatchParams& params, DispatchStorage& shared) {
  const LowLatencyView& view = params.view;
  LowLatencyState& state = *view.state;
  const int source = lane_index();
  const uint64_t output_epoch = params.output < 0 ? 0 : state.output_epochs[params.output];
  WaitSite site = {EP4J_STAGE_ARRIVAL, params.region, shared.epoch, shared.epoch};
  const uint64_t begin = ptx::global_nanos();
  uint64_t waited = 0;
  bool is_first_look = true;
  WaitOutcome outcome = {true, 0};
  if (shared.failed == 0) {
    outcome = PeerWait(view.rank).await(site, all_ranks(view.rank), [&](uint64_t& seen) {
      const uint64_t since = is_first_look ? 0 : ptx::global_nanos() - begin;
      is_first_look = false;
      Look call = look_at_call(view.rank, shared.epoch, params.words, source, seen);
      if (call != Look::kThere) {
        return call;
      }
      seen = Published<LandedMessage>{landed_at(view, view.rank.rank, shared.inbox, source)}.seen();
      if (seen != shared.epoch) {
        return seen < shared.epoch ? Look::kNotYet : Look::kOvertaken;
      }
      waited = site.stage == EP4J_STAGE_ARRIVAL ? since : waited;
      if (output_epoch != 0) {
        site.stage = EP4J_STAGE_READERS;
        seen = ptx::load_acquire_system(
            view.own<uint64_t>(view.layout.read(params.output, source)));
        return seen >= output_epoch ? Look::kThere : Look::kNotYet;
      }
      return Look::kThere;
    });
  }
  Refusal refusal = {EP4J_ROUTING_GOOD, 0, 0};
  if ((outcome.arrived >> source & 1) != 0) {
    refusal = landed_at(view, view.rank.rank, shared.inbox, source)->refusal;
  }
  const uint32_t refusers = __ballot_sync(kAllLanes, refusal.rule != EP4J_ROUTING_GOOD);
  if (source == __ffs(static_cast<int>(refusers)) - 1) {
    report_refusal(params, shared.epoch, source, refusal);
  }
  if (params.wait_nanos != nullptr && source < view.rank.num_ranks) {
    params.wait_nanos[source] = static_cast<int64_t>(waited);
  }
  __syncwarp();
  if (source == 0) {
    const int32_t verdict =
        outcome.gave_up ? EP4J_ABORTED : (refusers != 0 ? EP4J_REFUSED : EP4J_SENT);
    state.regions[params.region].verdict = verdict;
    publish_decision(state.received, shared.epoch, verdict,
                     verdict == EP4J_SENT ? outcome.arrived : 0);
  }
}

// The last block, warp 0: sources may fill the inbox again.
__device__ void end_receive(const LowLatencyDispatchParams& params, const DispatchStorage& shared) {
  const LowLatencyView& view = params.view;
  const int source = lane_index();
  if (view.rank.state->failed == 0 && source < view.rank.num_ranks &&
      !is_masked(view.rank, source)) {
    ptx::store_release_system(
        view.at<uint64_t>(source, view.layout.emptied(shared.inbox, view.rank.rank)),
        shared.epoch);
  }
}

template <bool kBulk>
__device__ void receive(const LowLatencyDispatchParams& params, DispatchStorage& shared,
                        char* memory) {
  LowLatencyState& state = *params.view.state;
  if (blockIdx.x == 0 && warp_index() == 0) {
    decide_received(params, shared);
  }
  if (threadIdx.x == 0) {
    await_decision(state.received, shared.epoch);
    shared.arrived = state.received.arrived;
  }
  __syncthreads();
  if (blockIdx.x == gridDim.x - 1 && warp_index() == kLowLatencyWarps - 1) {
    tell_received(params, shared);
  }
  if (warp_index() < MessagePacker<kBulk>::num_warps(params)) {
    MessagePacker<kBulk>(params, shared, memory).run();
  }
  if (is_last_block(state.receive_blocks) && warp_index() == 0) {
    end_receive(params, shared);
  }
}

template <bool kBulk>
__global__ void __launch_bounds__(kLowLatencyThreads, 1)
    low_latency_dispatch_kernel(const __grid_constant__ LowLatencyDispatchParams params) {
  if constexpr (!kBulk || EP4J_HAS_BULK_COPY) {
    extern __shared__ __align__(128) char memory[];
    __shared__ DispatchStorage shared;
    if (threadIdx.x == 0) {
      enter_call(params, shared);
    }
    __syncthreads();
    if ((params.phases & kSendPhase) != 0) {
      send<kBulk>(params, shared, memory);
    }
    if ((params.phases & kReceivePhase) != 0) {
      receive<kBulk>(params, shared, memory);
    }
  }
}

auto kernel_for(bool bulk) {
  return bulk ? low_latency_dispatch_kernel<true> : low_latency_dispatch_kernel<false>;
}

}  // namespace

cudaError_t prepare_low_latency_dispatch(int shared_bytes, bool bulk) {
  return cudaFuncSetAttribute(kernel_for(bulk), cudaFuncAttributeMaxDynamicSharedMemorySize,
                              shared_bytes);
}

cudaError_t launch_low_latency_dispatch(const LowLatencyDispatchParams& params, bool bulk,
                                        int num_blocks, cudaStream_t stream) {
  kernel_for(bulk)<<<num_blocks, kLowLatencyThreads, params.shape.shared_bytes, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace ep4j
