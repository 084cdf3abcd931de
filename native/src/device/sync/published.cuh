// A message with one writer: its payload is stored first, then its tag with release; the reader
// loads the tag with acquire, then the payload.
#pragma once

#include <cstddef>

#include "device/ptx/memory.cuh"
#include "device/transport/fabric.cuh"
#include "layout/messages.hpp"

namespace ep4j {

template <class Message>
struct Published {
  Message* record;

  // After this thread's stores to the payload, and those that a barrier put before it.
  __device__ void publish(uint64_t tag) const { ptx::store_release_system(&record->tag, tag); }

  // The tag; what was stored before it may be read from here on.
  __device__ uint64_t seen() const { return ptx::load_acquire_system(&record->tag); }
};

// A message in a peer's window: written there, or in this rank's outbox and put there with its tag.
// The record in the outbox is used again only when the peer must have seen what was put from it.
template <class Message>
class PeerMessage {
 public:
  // Offsets: of the record in the peer's window, and of the one for it in the outbox.
  __device__ PeerMessage(const RankView& view, int peer, int64_t at_peer, int64_t in_outbox)
      : view_(view),
        peer_(peer),
        at_peer_(at_peer),
        record_(transport::reaches(view, peer) ? view.at<Message>(peer, at_peer)
                                               : view.own<Message>(in_outbox)) {}

  __device__ Message* record() const { return record_; }

  // What follows the message proper.
  template <class T>
  __device__ T* tail(int64_t offset) const {
    return reinterpret_cast<T*>(reinterpret_cast<char*>(record_) + offset);
  }

  // After the stores to the payload, of bytes in all with the tag. One thread.
  __device__ void publish(uint64_t tag, int64_t bytes = sizeof(Message)) const {
    if (!put(tag, bytes)) {
      ptx::store_release_system(&record_->tag, tag);
    }
  }

  // The same for a thread that has called fence_system() meanwhile: several messages need one.
  __device__ void publish_behind_fence(uint64_t tag, int64_t bytes = sizeof(Message)) const {
    if (!put(tag, bytes)) {
      ptx::store_relaxed_system(&record_->tag, tag);
    }
  }

 private:
  // False for a peer that loads and stores reach.
  __device__ bool put(uint64_t tag, int64_t bytes) const {
    static_assert(offsetof(Message, tag) == 0);
    if constexpr (transport::kHasRemotePeers) {
      if (!transport::reaches(view_, peer_)) {
        constexpr int64_t kTag = sizeof(uint64_t);
        transport::put_and_set(view_.template own<char>(at_peer_ + kTag), tail<char>(kTag),
                               bytes - kTag, view_.template own<uint64_t>(at_peer_), tag, peer_);
        return true;
      }
    }
    return false;
  }

  const RankView& view_;
  const int peer_;
  const int64_t at_peer_;
  Message* record_;
};

}  // namespace ep4j
