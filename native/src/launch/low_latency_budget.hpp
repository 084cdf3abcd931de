// Chooses the shapes of the low-latency kernels: decided on the host from sizes alone, and tested
// there.
#pragma once

#include <algorithm>

#include "kernels/low_latency/shapes.hpp"
#include "layout/low_latency_layout.hpp"

namespace ep4j {

// Shared memory that the kernels keep for tables and barriers beside their stages.
constexpr int kLowLatencyTableBytes = 2048;

// Messages in shared memory: two in turn while sending; on the bulk-copy path one for each warp
// that packs. Fewer than two stages mean that a message does not fit.
constexpr LowLatencyShape low_latency_shape(const MessageForm& form, int num_experts, bool bulk,
                                            int shared_limit) {
  const int64_t table = lines(4 * int64_t{num_experts});
  const int64_t stage = lines(form.bytes());
  const int64_t room = shared_limit - kLowLatencyTableBytes - table;
  const int64_t fitting = std::clamp<int64_t>(room / stage, 0, kLowLatencyWarps);
  const int64_t stages = bulk ? fitting : std::min<int64_t>(fitting, 2);
  return {static_cast<int>(table), static_cast<int>(stage), static_cast<int>(stages),
          static_cast<int>(table + stages * stage)};
}

// Into how many parts a token is cut for the sum, so that few tokens still keep all blocks busy. A
// part has work for half of a block's threads at least.
constexpr int low_latency_parts(int num_tokens, int num_blocks, int units_per_token) {
  const int wanted = num_tokens == 0 ? 1 : num_blocks / num_tokens;
  return std::max(1, std::min(wanted, units_per_token / (kLowLatencyThreads / 2)));
}

}  // namespace ep4j
