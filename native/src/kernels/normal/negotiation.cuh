// What the phases of negotiate share: one block's view of one call.
#pragma once

#include "device/sync/peer_wait.cuh"
#include "kernels/normal/negotiate.hpp"

namespace ep4j {

constexpr int kNegotiateThreads = 256;
constexpr int kNegotiateWarps = kNegotiateThreads / kWarpLanes;

struct Negotiation {
  uint64_t epoch;
  uint64_t ordinal;
  uint64_t late;  // regions of this call that a masked source may still write to
  CallWords words;
  int32_t gave_up;
  int32_t verdict;          // what this rank says to its sources
  int32_t outcome;          // ep4j_verdict of the call, by what all destinations have said
  uint32_t sources;         // whose counts came; cached: that are not masked
  int64_t needed;           // rows that come, padding included; on overflow, that would
  int64_t region_rows;      // of the layout of this rank's region
  int32_t received;         // cached: rows that come, padding included
  int32_t denier;           // rank that denied
  int32_t refuser;          // source whose routing is refused
  int32_t rows[kMaxRanks];  // rank-major: of each source
  int32_t base[kMaxRanks];  // rank-major: first row of each source
};

// What a destination has said, as its lane of warp 0 knows it.
struct Answer {
  int32_t verdict;
  int32_t region;
  int64_t region_offset;
  int64_t capacity_rows;
  int32_t base;
  int32_t sent_rows;  // that go there
};

// In dynamic shared memory, per local expert.
struct ExpertTable {
  int64_t* offset;  // [local experts + 1] first row of the group
  int32_t* real;    // [local experts] rows or choices, not aligned

  __device__ ExpertTable(int64_t* memory, int local_experts)
      : offset(memory), real(reinterpret_cast<int32_t*>(memory + local_experts + 1)) {}
};

__device__ inline const char* counts_of(const RankView& view, const Negotiation& shared,
                                        int source) {
  return view.own<char>(view.control.counts(shared.ordinal, source));
}

__device__ inline bool has_counts(const Negotiation& shared, int source) {
  return (shared.sources >> source & 1) != 0;
}

// Rows that a source has for this rank.
__device__ inline int32_t rows_from(const RankView& view, const Negotiation& shared, int source) {
  return has_counts(shared, source)
             ? static_cast<int32_t>(
                   reinterpret_cast<const CountsMessage*>(counts_of(view, shared, source))->rows)
             : 0;
}

__device__ inline int32_t choices_of(const RankView& view, const Negotiation& shared, int source,
                                     int local_expert) {
  return has_counts(shared, source)
             ? reinterpret_cast<const int32_t*>(counts_of(view, shared, source) +
                                                kCountsPerExpert)[local_expert]
             : 0;
}

__device__ inline const GrantMessage* grant_of(const RankView& view, const Negotiation& shared,
                                               int destination) {
  return view.own<GrantMessage>(view.control.grant(shared.ordinal, destination));
}

// Rows rounded up to the alignment, by 32-bit division: the 64-bit one is a function call.
__device__ inline int64_t aligned_rows(int32_t rows, int32_t alignment) {
  const uint32_t step = static_cast<uint32_t>(alignment);
  return int64_t{(static_cast<uint32_t>(rows) + step - 1) / step} * alignment;
}

}  // namespace ep4j
