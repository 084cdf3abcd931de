// How a kernel tells and gives something to a peer, whether loads and stores reach the peer's
// window or only a network does.
//
// A peer that is out of reach has no window in RankView. What goes to it lies first in this rank's
// own window, and is put from there: every put carries a word of its own, which changes at the peer
// after the bytes of this put are there. Nothing else is ordered: not two puts to one peer, not
// puts of two blocks, not puts and words. Windows are symmetric: an address in this rank's window
// stands for the same offset in the peer's.
//
// libep4j.so is built without peers out of reach: every branch for them is gone at compile time. A
// library with them defines EP4J_REMOTE_PEERS and the functions declared at the end.
#pragma once

#include "device/ptx/memory.cuh"
#include "layout/rank_view.hpp"

#ifndef EP4J_REMOTE_PEERS
#define EP4J_REMOTE_PEERS 0
#endif

namespace ep4j::transport {

constexpr bool kHasRemotePeers = EP4J_REMOTE_PEERS != 0;

// Puts bytes to a peer; then the word at the peer grows by amount. All lanes of a warp; from must
// not change until the peer has answered.
__device__ void put_and_add(void* to, const void* from, int64_t bytes, uint64_t* word,
                            uint64_t amount, int peer);

// Puts bytes to a peer; then the word at the peer is value. One thread.
__device__ void put_and_set(void* to, const void* from, int64_t bytes, uint64_t* word,
                            uint64_t value, int peer);

// The same by a whole warp, for bytes that are many.
__device__ void put_row_and_set(void* to, const void* from, int64_t bytes, uint64_t* word,
                                uint64_t value, int peer);

// The word at the peer becomes value. One thread.
__device__ void set(uint64_t* word, uint64_t value, int peer);

// Whether a word of this rank's window, which peers' puts change, has reached value; what came with
// it may be read then.
__device__ bool has_reached(uint64_t* word, uint64_t value);

// Whether loads and stores reach a peer's window.
__device__ __forceinline__ bool reaches(const RankView& view, int peer) {
  if constexpr (kHasRemotePeers) {
    return view.windows[peer] != nullptr;
  } else {
    return true;
  }
}

// Whether a word of this rank's window, which a peer sets only to larger values, has reached value;
// what came with it may be read then.
__device__ __forceinline__ bool has_come(const RankView& view, int peer, uint64_t* word,
                                         uint64_t value) {
  if constexpr (kHasRemotePeers) {
    if (!reaches(view, peer)) {
      return has_reached(word, value);
    }
  }
  return ptx::load_acquire_system(word) >= value;
}

// A word in a peer's window, as publish takes it.
__device__ __forceinline__ uint64_t* word_at(const RankView& view, int peer, int64_t offset) {
  return reaches(view, peer) ? view.at<uint64_t>(peer, offset) : view.own<uint64_t>(offset);
}

// Stores a word of word_at with release: what this thread has read before is read before the peer
// knows. One thread.
__device__ __forceinline__ void publish(const RankView& view, int peer, uint64_t* word,
                                        uint64_t value) {
  if constexpr (kHasRemotePeers) {
    if (!reaches(view, peer)) {
      set(word, value, peer);
      return;
    }
  }
  ptx::store_release_system(word, value);
}

}  // namespace ep4j::transport
