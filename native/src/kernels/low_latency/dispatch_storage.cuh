// What the roles of low-latency dispatch share: one block's view of one call.
#pragma once

#include "device/sync/call_agreement.cuh"
#include "device/sync/counter.cuh"
#include "device/sync/grid_decision.cuh"
#include "device/sync/grid_end.cuh"
#include "device/sync/quick_wait.cuh"
#include "kernels/low_latency/dispatch.hpp"
#include "kernels/low_latency/network_messages.cuh"

namespace ep4j {

struct DispatchStorage {
  uint64_t epoch;
  uint64_t inbox_epoch;  // of the dispatch that had the inbox before; sending half
  int32_t inbox;
  uint32_t failed;   // this rank gave up in an earlier call
  uint32_t open;     // destinations that rows go to
  uint32_t arrived;  // sources whose rows are packed
  char* targets[2][kMaxTopk];  // load/store path: slots of the current token
  uint64_t barriers[kLowLatencyWarps];
  NetworkMessages<transport::kHasRemotePeers> network;
};

// What a source says about its rows.
__device__ inline const LandedMessage* landed_from(const LowLatencyView& view, int inbox,
                                                   int source) {
  return view.own<LandedMessage>(view.layout.landed(inbox, source));
}

// What this rank says about its rows to a destination.
__device__ inline PeerMessage<LandedMessage> landed_for(const LowLatencyView& view, int inbox,
                                                        int peer) {
  return {view.rank, peer, view.base + view.layout.landed(inbox, view.rank.rank),
          view.base + view.layout.landed_outbox(inbox, peer)};
}

// One thread. The sending half advances what is read here only when every block has read it.
__device__ inline void enter_call(const LowLatencyDispatchParams& params, DispatchStorage& shared) {
  const LowLatencyState& state = *params.view.state;
  if ((params.phases & kSendPhase) != 0) {
    shared.epoch = params.view.rank.state->epoch + 1;
    const uint64_t ordinal = state.dispatches;
    shared.inbox = state.inbox;
    shared.inbox_epoch = state.inbox_epoch;
    if (ordinal != state.inbox_ordinal) {  // the last dispatch has not worked it out: an unmask
      shared.inbox = static_cast<int32_t>(ordinal %
                                          static_cast<uint32_t>(params.view.layout.inboxes));
      shared.inbox_epoch = state.inbox_epochs[shared.inbox];
    }
  } else {
    shared.epoch = state.regions[params.region].epoch;
    shared.inbox = state.regions[params.region].inbox;
  }
  shared.failed = has_failed(params.view.rank, shared.epoch) ? 1 : 0;
}

}  // namespace ep4j
