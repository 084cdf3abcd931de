// The refusal of a routing from what the plan's checking blocks found.
#pragma once

#include "device/sync/warp.cuh"
#include "layout/local_layout.hpp"
#include "layout/messages.hpp"

namespace ep4j {

// The first bad choice of a routing [tokens, num_topk], or a good refusal. All lanes of a warp.
__device__ inline Refusal first_refusal(const uint64_t* refusals, const void* topk_idx,
                                        int index_bytes, int num_topk) {
  static_assert(kMaxRanks == kWarpLanes, "one lane reads what one checking block found");
  uint64_t first = refusals[lane_index()];
  for (int distance = 1; distance < kWarpLanes; distance *= 2) {
    first = min(first, __shfl_xor_sync(kAllLanes, first, distance));
  }
  if (first == BadChoice::kNone) {
    return {EP4J_ROUTING_GOOD, 0, 0};
  }
  const int64_t index = BadChoice::index(first);
  int64_t value = index_bytes == 8 ? static_cast<const int64_t*>(topk_idx)[index]
                                   : static_cast<const int32_t*>(topk_idx)[index];
  // By 32-bit division: the 64-bit one is a function call.
  uint32_t token = static_cast<uint32_t>(index) / static_cast<uint32_t>(num_topk);
  return {BadChoice::rule(first), static_cast<int32_t>(token), value};
}

}  // namespace ep4j
