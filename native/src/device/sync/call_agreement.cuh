// How ranks find out that they are in different calls: each announces its call to every peer when
// it enters, and every wait of the call compares.
#pragma once

#include "device/sync/peer_wait.cuh"
#include "device/sync/published.cuh"

namespace ep4j {

// Whether a peer is in this call, and the same one.
__device__ inline Look look_at_call(const RankView& view, uint64_t epoch, const CallWords& words,
                                    int peer, uint64_t& seen) {
  Published<CallMessage> call{view.own<CallMessage>(view.control.call(epoch, peer))};
  seen = call.seen();
  if (seen != epoch) {
    return seen < epoch ? Look::kNotYet : Look::kOvertaken;
  }
  return call.record->words == words ? Look::kThere : Look::kMismatch;
}

// Announces this rank's call to a peer. One thread.
__device__ inline void publish_call(const RankView& view, uint64_t epoch, const CallWords& words,
                                    int peer) {
  PeerMessage<CallMessage> call(view, peer, view.control.call(epoch, view.rank),
                                view.outbox + view.control.call(epoch, peer));
  call.record()->words = words;
  call.publish(epoch);
}

}  // namespace ep4j
