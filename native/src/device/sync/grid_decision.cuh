// One block waits for peers and decides, the others of its grid learn what it decided. All blocks
// are co-resident, and the deciding one has a deadline, so the others need none.
#pragma once

#include "device/ptx/memory.cuh"
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

// One thread of any block.
__device__ inline void await_decision(const GridDecision& decision, uint64_t epoch) {
  while (!has_decision(decision, epoch)) {
  }
}

}  // namespace ep4j
