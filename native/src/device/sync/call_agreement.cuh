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

// Whether a peer's message of this call is there, and the peer in the same call. The announcement
// was published before the message, or with it: over a network it may come after it all the same.
template <class Message>
__device__ Look look_for_message(const RankView& view, uint64_t epoch, const CallWords& words,
                                 int peer, const Message* message) {
  if (ptx::load_acquire_system(&message->tag) != epoch) {
    return Look::kNotYet;
  }
  uint64_t seen;
  if (!transport::reaches(view, peer)) {
    return look_at_call(view, epoch, words, peer, seen);
  }
  const CallMessage& call = *view.own<CallMessage>(view.control.call(epoch, peer));
  seen = ptx::load_relaxed_system(&call.tag);
  const bool same = call.words == words;
  if (seen != epoch) {  // tags behind one fence come in any order
    return seen < epoch ? Look::kNotYet : Look::kOvertaken;
  }
  return same ? Look::kThere : Look::kMismatch;
}

// The same, with what is known of a peer whose message is not there.
template <class Message>
__device__ Look look_at_message(const RankView& view, uint64_t epoch, const CallWords& words,
                                int peer, const Message* message, uint64_t& seen) {
  const Look call = look_at_call(view, epoch, words, peer, seen);
  if (call != Look::kThere) {
    return call;
  }
  seen = ptx::load_acquire_system(&message->tag);
  return seen == epoch ? Look::kThere : (seen < epoch ? Look::kNotYet : Look::kOvertaken);
}

// This rank's announcement for a peer, to be published. One thread.
__device__ inline PeerMessage<CallMessage> announcement(const RankView& view, uint64_t epoch,
                                                        const CallWords& words, int peer) {
  PeerMessage<CallMessage> call(view, peer, view.control.call(epoch, view.rank),
                                view.outbox + view.control.call(epoch, peer));
  call.record()->words = words;
  return call;
}

// Announces this rank's call to a peer. One thread.
__device__ inline void publish_call(const RankView& view, uint64_t epoch, const CallWords& words,
                                    int peer) {
  announcement(view, epoch, words, peer).publish(epoch);
}

}  // namespace ep4j
