// One block waits for peers and decides, the others of its grid learn what it decided. All blocks
// are co-resident, and the deciding one has a deadline, so the others need none.
#pragma once

#include "device/ptx/memory.cuh"
#include "device/sync/peer_wait.cuh"
#include "layout/low_latency_state.hpp"

namespace ep4j {

// After the deciding warp's stores. One thread of the deciding block.
__device__ inline void publish_decision(GridDecision& decision, uint64_t epoch, int32_t verdict,
                                        uint32_t arrived) {
  decision.verdict = verdict;
  decision.arrived = arrived;
  ptx::store_release_device(&decision.tag, epoch);
}

// Whether the call's decision is there; then what was stored before it may be read.
__device__ inline bool has_decision(const GridDecision& decision, uint64_t epoch) {
  return ptx::load_acquire_device(&decision.tag) == epoch;
}

// A word of low-latency mode in a peer's window, as leave_pending takes it.
__device__ inline uint64_t* word_at(const LowLatencyView& view, int peer, int64_t offset) {
  return transport::word_at(view.rank, peer, view.base + offset);
}

// Publishes what the last kernel has left. One warp, before anything that waits.
__device__ inline void publish_pending(const LowLatencyView& view) {
  uint64_t* word = view.state->pending.words[lane_index()];
  if (word != nullptr && !is_masked(view.rank, lane_index())) {
    transport::publish(view.rank, lane_index(), word, view.state->pending.epoch);
  }
  __syncwarp();  // a lane ahead may leave the next ones
}

// Leaves this lane's word, of word_at, for the next kernel, or none. The warp that has published
// the last ones.
__device__ inline void leave_pending(const LowLatencyView& view, uint64_t epoch, uint64_t* word) {
  view.state->pending.words[lane_index()] = view.rank.state->failed == 0 ? word : nullptr;
  if (lane_index() == 0) {
    view.state->pending.epoch = epoch;
  }
}

// One thread of any block.
__device__ inline void await_decision(const GridDecision& decision, uint64_t epoch) {
  while (!has_decision(decision, epoch)) {
  }
}

}  // namespace ep4j
