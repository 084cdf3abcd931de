// What a routing means for its own rank: counts, and the ordinal of each row at its destination.
#pragma once

#include <cuda_runtime_api.h>

#include "device/stream.hpp"
#include "layout/local_layout.hpp"
#include "layout/messages.hpp"

namespace ep4j {

struct PlanParams {
  const void* topk_idx;       // [num_tokens, num_topk]
  const float* topk_weights;  // [num_tokens, num_topk], to be kept; or null
  int32_t index_bytes;
  int32_t num_tokens;
  int32_t num_topk;
  int32_t num_ranks;
  int32_t local_experts;
  int32_t* rows;               // ordinals: [num_tokens, n] or [num_tokens, num_topk]; or null
  int32_t* experts;            // expert-major: [num_tokens, num_topk]
  float* weights;              // expert-major: [num_tokens, num_topk]
  int32_t* tokens_per_rank;    // rank-major: [n]
  int32_t* tokens_per_expert;  // [num_experts]
  uint8_t* is_token_in_rank;   // rank-major: [num_tokens, n]; or null
  uint64_t* refusals;          // [kMaxRanks] BadChoice words; or null
  int32_t checkers;            // blocks that fill them; set by the launch
  int32_t* tokens_per_node;    // rank-major: [1], ranks being of one node; or null
  LayoutReport* report;        // pinned: the routing's refusal, with refusals given; or null
  uint64_t ticket;             // of the report
  LocalState* state;           // with report
};

// Loads the kernels of this file, so that no launch does.
cudaError_t load_routing_plan();

// Rows for ranks: one per (token, destination rank).
cudaError_t launch_rank_plan(const PlanParams& params, const Stream& stream);

// Rows for experts: one per choice.
cudaError_t launch_expert_plan(const PlanParams& params, const Stream& stream);

}  // namespace ep4j
