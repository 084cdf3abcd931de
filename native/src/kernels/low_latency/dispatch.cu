// Low-latency dispatch: rows go to slots at their experts' ranks without waiting for anybody to
// call, and are packed there once all are in.
//
//   grid   as many blocks as the call gives multiprocessors, all resident: blocks wait
//   half      role             who                 waits for         publishes
//   both      messenger        block 0, warp 1                       what the last kernel left
//   send      announcer        block 0, warp 2                       CallMessage
//             gate             block 0, warp 0     emptied           may_send
//             message sender   all blocks          may_send, if not  (slots, counts)
//                                                  all are empty
//             publisher        last block          (all blocks)      LandedMessage
//   receive   decider          block 0, warp 0     landed            received
//             packer           all blocks          received
//             messenger        block 0, warp 1                       leaves emptied to the next
//                                                                    kernel
//
// The halves run in one launch or in two; between two no multiprocessor is used. Dispatches use
// the inboxes in turn; one is free when the last dispatch in it has been packed everywhere: nothing
// else is asked of a receiver, so any result may stay open.
//
// Over a network a message is put to its slot with a count of its own, and the decider waits for
// the count that landed tells: nothing is ordered but a put and its count.
//
// Invariants: what every block reads on entry is advanced by the last block, which comes after all
// have read it; only block 0 decides what came, so that all blocks pack the same rows; counts and
// slots are complete before landed, all slots are read before emptied.
#include "kernels/low_latency/dispatch.hpp"

#include "device/programmatic.cuh"
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

// Block 0, warp 2: tells the peers which call this is.
__device__ void announce(const LowLatencyDispatchParams& params, const DispatchStorage& shared) {
  const RankView& view = params.view.rank;
  const int peer = lane_index();
  if (shared.failed == 0 && peer < view.num_ranks && !is_masked(view, peer)) {
    publish_call(view, shared.epoch, params.words, peer);
  }
}

// Block 0, warp 0: waits for the peers' inboxes. A rank that is masked would learn it from nobody's
// silence, because its peers may have sent before they gave it up: so it looks, too, and then the
// wait says why.
__device__ void open_gate(const LowLatencyDispatchParams& params, DispatchStorage& shared) {
  const LowLatencyView& view = params.view;
  const int peer = lane_index();
  WaitOutcome outcome = {true, 0};
  if (shared.failed == 0) {
    auto look = [&](uint64_t& seen) {
      const bool masked = is_masked_by(view.rank, peer);
      const Look inbox = look_at_inbox(view, shared, peer, seen);
      return masked ? Look::kNotYet : inbox;
    };
    const WaitSite site = {EP4J_STAGE_INBOX, params.region, shared.epoch, shared.epoch};
    outcome = quick_await(view.rank, site, all_ranks(view.rank), look);
  }
  if (peer == 0) {
    shared.open = outcome.arrived;
    publish_decision(view.state->may_send, shared.epoch,
                     outcome.gave_up ? EP4J_ABORTED : EP4J_SENT, outcome.arrived);
  }
  __syncwarp();
}

// One warp of another block: goes on when it sees that all inboxes are empty, which they nearly
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

// The last block, warp 0. What the receiving half writes, too, comes before the words that let it
// go on.
__device__ void end_send(const LowLatencyDispatchParams& params, const DispatchStorage& shared) {
  const LowLatencyView& view = params.view;
  LowLatencyState& state = *view.state;
  const int peer = lane_index();
  const int next = shared.inbox + 1 == view.layout.inboxes ? 0 : shared.inbox + 1;
  const uint64_t next_epoch = next == shared.inbox ? shared.epoch : state.inbox_epochs[next];
  const uint64_t ordinal = state.dispatches + 1;
  const uint64_t bad = state.bad_choice;
  const uint32_t failed = view.rank.state->failed;
  const bool tells = peer < view.rank.num_ranks && !is_masked(view.rank, peer);
  if (peer == 0) {
    state.inbox_epochs[shared.inbox] = shared.epoch;
    state.dispatches = ordinal;
    state.inbox_ordinal = ordinal;
    state.inbox = next;
    state.inbox_epoch = next_epoch;
    state.regions[params.region] = {shared.epoch, shared.inbox, EP4J_ABORTED};
    view.rank.state->epoch = shared.epoch;
  }
  __syncwarp();
  if (tells && failed == 0) {
    const PeerMessage<LandedMessage> landed = landed_for(view, shared.inbox, peer);
    landed.record()->words = params.words;
    landed.record()->refusal = refusal_of(params, bad);
    if constexpr (transport::kHasRemotePeers) {
      landed.record()->arrivals = state.rows_put[shared.inbox][peer];
    }
    landed.publish(shared.epoch, view.layout.landed_bytes());
  }
  if (peer == 0 && bad != BadChoice::kNone) {
    state.bad_choice = BadChoice::kNone;
  }
}

template <bool kBulk>
__device__ void send(const LowLatencyDispatchParams& params, DispatchStorage& shared,
                     char* memory) {
  if (blockIdx.x == 0) {
    if (warp_index() == 0) {
      open_gate(params, shared);
    } else if (warp_index() == 2) {
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

// Whether the rows that a source's message tells of are there, too: a network brings them apart
// from it, in any order.
__device__ bool have_arrived(const LowLatencyView& view, int inbox, int source) {
  if constexpr (transport::kHasRemotePeers) {
    const uint64_t arrivals = landed_from(view, inbox, source)->arrivals;
    return transport::reaches(view.rank, source) ||
           transport::has_reached(view.own<uint64_t>(view.layout.arrivals(inbox, source)),
                                  arrivals);
  } else {
    return true;
  }
}

// Block 0, warp 0: waits for every source's rows, and for the readers of the output that the
// result's expert outputs will go to. waited: time blocked on this lane's source.
__device__ WaitOutcome await_rows(const LowLatencyDispatchParams& params,
                                  const DispatchStorage& shared, uint64_t& waited) {
  const LowLatencyView& view = params.view;
  const int source = lane_index();
  const uint64_t output_epoch =
      params.output < 0 ? 0 : view.state->output_epochs[params.output];
  const LandedMessage* landed = landed_from(view, shared.inbox, source);
  const uint64_t* read =
      view.own<uint64_t>(view.layout.read(params.output < 0 ? 0 : params.output, source));
  const uint64_t begin = ptx::global_nanos();
  bool is_first_look = true;
  bool is_blocked = true;
  // Once the rows are there, waiting is for readers.
  auto note = [&](bool rows_are_there) {
    if (rows_are_there && is_blocked) {
      waited = is_first_look ? 0 : ptx::global_nanos() - begin;
      is_blocked = false;
    }
    is_first_look = false;
    return rows_are_there;
  };
  auto are_read = [&](uint64_t& seen) {
    seen = output_epoch == 0 ? 0 : ptx::load_acquire_system(read);
    return seen >= output_epoch;
  };
  auto quick = [&] {
    uint64_t seen = ptx::load_acquire_system(&landed->tag);
    return note(seen == shared.epoch && landed->words == params.words &&
                have_arrived(view, shared.inbox, source)) &&
           are_read(seen);
  };
  WaitSite site = {EP4J_STAGE_ARRIVAL, params.region, shared.epoch, shared.epoch};
  auto look = [&](uint64_t& seen) {
    Look call = look_at_call(view.rank, shared.epoch, params.words, source, seen);
    if (call != Look::kThere) {
      return call;
    }
    seen = ptx::load_acquire_system(&landed->tag);
    if (!note(seen == shared.epoch && have_arrived(view, shared.inbox, source))) {
      return seen <= shared.epoch ? Look::kNotYet : Look::kOvertaken;
    }
    site.stage = EP4J_STAGE_READERS;
    return are_read(seen) ? Look::kThere : Look::kNotYet;
  };
  return quick_await(view.rank, site, all_ranks(view.rank), quick, look);
}

// Block 0, warp 0.
__device__ void decide_received(const LowLatencyDispatchParams& params, DispatchStorage& shared) {
  const LowLatencyView& view = params.view;
  LowLatencyState& state = *view.state;
  const int source = lane_index();
  uint64_t waited = 0;
  WaitOutcome outcome = {true, 0};
  if (shared.failed == 0) {
    outcome = await_rows(params, shared, waited);
  }
  Refusal refusal = {EP4J_ROUTING_GOOD, 0, 0};
  if ((outcome.arrived >> source & 1) != 0) {
    refusal = landed_from(view, shared.inbox, source)->refusal;
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
  __syncwarp();
}

// Block 0, warp 1: sources may fill the inbox again once this kernel is done.
__device__ void leave_emptied(const LowLatencyDispatchParams& params,
                              const DispatchStorage& shared) {
  const LowLatencyView& view = params.view;
  const int source = lane_index();
  const bool tells = (params.phases & kReceivePhase) != 0 && source < view.rank.num_ranks;
  leave_pending(view, shared.epoch,
                tells ? word_at(view, source, view.layout.emptied(shared.inbox, view.rank.rank))
                      : nullptr);
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
}

template <bool kBulk>
__global__ void __launch_bounds__(kLowLatencyThreads, 1)
    low_latency_dispatch_kernel(const __grid_constant__ LowLatencyDispatchParams params) {
  if constexpr (!kBulk || EP4J_HAS_BULK_COPY) {
    extern __shared__ __align__(128) char memory[];
    __shared__ DispatchStorage shared;
    await_last_kernel();
    if (threadIdx.x == 0) {
      enter_call(params, shared);
    }
    __syncthreads();
    const bool is_messenger = blockIdx.x == 0 && warp_index() == 1;
    if (is_messenger) {
      publish_pending(params.view);
    }
    if ((params.phases & kSendPhase) != 0) {
      send<kBulk>(params, shared, memory);
    }
    if ((params.phases & kReceivePhase) != 0) {
      receive<kBulk>(params, shared, memory);
    }
    let_next_kernel_begin();
    if (is_messenger) {
      leave_emptied(params, shared);
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
                                        int num_blocks, const Stream& stream) {
  const Grid grid = {num_blocks, kLowLatencyThreads,
                     static_cast<size_t>(params.shape.shared_bytes)};
  return launch_behind(stream, grid, kernel_for(bulk), params);
}

}  // namespace ep4j
