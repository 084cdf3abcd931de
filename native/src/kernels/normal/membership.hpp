// Who takes part: what the host decides beside the calls, and how it learns where this rank stands.
#pragma once

#include <cuda_runtime_api.h>

#include "layout/low_latency_state.hpp"
#include "layout/rank_view.hpp"

namespace ep4j {

struct StandingParams {
  RankView view;
  const LowLatencyState* low_latency;  // null in a buffer without that mode
  StandingRecord* record;  // pinned, as the device addresses it
  uint64_t tick;           // of the request, never 0
};

// The end of an unmask, on each of its members.
struct WelcomeParams {
  RankView view;
  LowLatencyState* low_latency;  // null in a buffer without that mode
  uint32_t members;  // ranks that this one sees again
  uint64_t epoch;    // of the furthest member
  uint64_t dispatches;
  uint64_t low_latency_dispatches;
  uint64_t mask_tags[kMaxRanks];     // to be pardoned
  uint64_t failure_tags[kMaxRanks];  // as above
};

// Loads the kernels of this file, so that no launch does.
cudaError_t load_membership();

// Masks a rank.
cudaError_t launch_mask(const RankView& view, int rank, cudaStream_t stream);

// A rank will never write again.
cudaError_t launch_forget(const RankView& view, int rank, cudaStream_t stream);

// This rank's part ends: fault is ABORTED, beside calls that run, or CLOSED, after the last one.
cudaError_t launch_leave(const RankView& view, int fault, cudaStream_t stream);

// Tells the host where this rank stands.
cudaError_t launch_standing(const StandingParams& params, cudaStream_t stream);

// Goes on with the members as if neither had been away. No call's kernel runs.
cudaError_t launch_welcome(const WelcomeParams& params, cudaStream_t stream);

}  // namespace ep4j
