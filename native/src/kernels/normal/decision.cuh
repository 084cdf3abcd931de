// Negotiate's decision: what this rank, as a destination, says to its sources. Prefix sums over the
// sources in rank order give each one its place; a masked source has no rows.
#pragma once

#include "kernels/normal/negotiation.cuh"

namespace ep4j {

// Warp 0: rank-major bases.
__device__ inline void place_sources(const RankView& view, Negotiation& shared) {
  const int source = lane_index();
  int64_t rows = 0;
  if (has_counts(shared, source)) {
    rows = reinterpret_cast<const CountsMessage*>(counts_of(view, shared, source))->rows;
  }
  int64_t end = warp_inclusive_sum(rows);
  shared.rows[source] = static_cast<int32_t>(rows);
  shared.base[source] = static_cast<int32_t>(end - rows);
  if (source == kWarpLanes - 1) {
    shared.needed = end;
  }
}

// Warp 0: expert-major groups, each at a multiple of the alignment.
__device__ inline void place_groups(const NegotiateParams& params, Negotiation& shared,
                                    const ExpertTable& table) {
  const int experts = params.view.local_experts;
  int64_t begin = 0;
  for (int first = 0; first < experts; first += kWarpLanes) {
    int expert = first + lane_index();
    int64_t rows = expert < experts ? aligned_rows(table.real[expert], params.alignment) : 0;
    int64_t end = begin + warp_inclusive_sum(rows);
    if (expert < experts) {
      table.offset[expert] = end - rows;
    }
    begin = __shfl_sync(kAllLanes, end, kWarpLanes - 1);
  }
  if (lane_index() == 0) {
    table.offset[experts] = begin;
    shared.needed = begin;
  }
}

// One thread: whether there is room for the rows that come.
__device__ inline void find_room(const NegotiateParams& params, Negotiation& shared) {
  if (params.no_place != 0) {
    shared.needed = max(shared.needed, params.layout.rows);
    shared.verdict = EP4J_OVERFLOW;
  } else if (shared.needed > params.capacity_rows) {
    shared.verdict = EP4J_OVERFLOW;
  } else if (params.exact != 0) {
    shared.region_rows = shared.needed;
  }
}

// Warp 0: what this rank says to its sources.
__device__ inline void judge(const NegotiateParams& params, Negotiation& shared) {
  const int source = lane_index();
  bool refused = has_counts(shared, source) &&
                 reinterpret_cast<const CountsMessage*>(counts_of(params.view, shared, source))
                         ->refusal.rule != EP4J_ROUTING_GOOD;
  uint32_t refusals = __ballot_sync(kAllLanes, refused);
  if (source == 0) {
    if (refusals != 0) {
      shared.verdict = EP4J_REFUSED;
      shared.refuser = __ffs(static_cast<int>(refusals)) - 1;
    } else {
      find_room(params, shared);
    }
  }
}

// The handle's receive plan, also of a call that will be dropped: conclude then empties it.
__device__ inline void record_sources(const NegotiateParams& params, const Negotiation& shared,
                                      const ExpertTable& table) {
  const RankView& view = params.view;
  if (params.layout.form.rank_major()) {
    for (int source = threadIdx.x; source < view.num_ranks; source += kNegotiateThreads) {
      params.handle.source_begin[source] = shared.base[source];
      params.handle.source_count[source] = shared.rows[source];
    }
    return;
  }
  for (int expert = threadIdx.x; expert < view.local_experts; expert += kNegotiateThreads) {
    int32_t begin = static_cast<int32_t>(table.offset[expert]);
    for (int source = 0; source < view.num_ranks; source++) {
      int32_t rows = choices_of(view, shared, source, expert);
      params.handle.source_begin[source * view.local_experts + expert] = begin;
      params.handle.source_count[source * view.local_experts + expert] = rows;
      begin += rows;
    }
  }
}

// Choices of each expert here, by the threads from first on.
__device__ inline void count_choices(const RankView& view, const Negotiation& shared,
                                     const ExpertTable& table, int first) {
  for (int expert = static_cast<int>(threadIdx.x) - first; expert < view.local_experts;
       expert += kNegotiateThreads - first) {
    int32_t choices = 0;
    for (int source = 0; source < view.num_ranks; source++) {
      choices += choices_of(view, shared, source, expert);
    }
    table.real[expert] = choices;
  }
}

// All threads.
__device__ inline void decide(const NegotiateParams& params, Negotiation& shared,
                              const ExpertTable& table) {
  const RankView& view = params.view;
  if (params.layout.form.rank_major()) {
    if (warp_index() == 0) {
      place_sources(view, shared);
      __syncwarp();
      judge(params, shared);
    } else {
      count_choices(view, shared, table, kWarpLanes);
    }
  } else {
    count_choices(view, shared, table, 0);
    __syncthreads();
    if (warp_index() == 0) {
      place_groups(params, shared, table);
      __syncwarp();
      judge(params, shared);
    }
  }
  __syncthreads();
  if (shared.verdict == EP4J_SENT) {
    record_sources(params, shared, table);
  }
  __syncthreads();
}

}  // namespace ep4j
