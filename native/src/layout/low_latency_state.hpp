// A rank's private memory of low-latency mode: what one kernel leaves for the next.
//
//   state     LowLatencyState
//   records   [regions] the routing of the dispatch in each region, for its combine:
//             experts  [M, K] int32   expert of each choice, -1 for none
//             ordinals [M, K] int32   its place among this rank's rows for the expert
//             begins   [n, local experts] int32   first packed row of each source
//             counts   [local experts] int32      packed rows
#pragma once

#include "layout/local_layout.hpp"
#include "layout/low_latency_layout.hpp"
#include "layout/rank_view.hpp"

namespace ep4j {

// What one block of a grid has found out for all of them; the tag is stored last.
struct GridDecision {
  uint64_t tag;         // epoch of the call
  int32_t verdict;      // ep4j_verdict
  uint32_t arrived;     // ranks whose condition came true
  uint32_t outputs[4];  // combine: output in which each rank published, 4 bits per rank
};
static_assert(kMaxLowLatency <= 16 && kMaxRanks <= 4 * 8);

// Words that tell peers that their rows were taken. A kernel leaves them to the next one, which
// publishes them as it begins: by then all of its blocks are done, without counting them. Nobody
// waits for such a word before its writer's next call.
struct PendingWords {
  uint64_t epoch;
  uint64_t* words[kMaxRanks];  // in each peer's window; null for none
};

// The dispatch in a region.
struct LowLatencyRecord {
  uint64_t epoch;
  int32_t inbox;
  int32_t verdict;  // once received
};

struct LowLatencyState {
  uint64_t dispatches;     // entered so far; the remainder by the inboxes chooses the next one's
  uint64_t inbox_ordinal;  // of the dispatch that inbox and inbox_epoch are worked out for
  uint64_t inbox_epoch;    // of the last dispatch in inbox
  int32_t inbox;
  uint32_t send_blocks;  // blocks that have finished a sending half; back to 0 at its end
  uint32_t entered_blocks;  // of a combine, likewise
  uint64_t bad_choice;      // BadChoice word of the routing being sent
  PendingWords pending;
  GridDecision may_send;
  GridDecision received;
  uint64_t inbox_epochs[kMaxLowLatency];   // of each inbox's last dispatch
  uint64_t output_epochs[kMaxLowLatency];  // of each output's last publication
  // Over a network: what was put to each peer since the buffer was made.
  uint64_t rows_put[kMaxLowLatency][kMaxRanks];    // for each inbox
  uint64_t pieces_put[kMaxLowLatency][kMaxRanks];  // for each output
  LowLatencyRecord regions[kMaxLowLatency];
  int32_t sent_rows[kMaxLowLatency][kMaxRanks];  // of the dispatch in each region, by destination
};

struct LowLatencyStateLayout {
  int num_ranks;
  int local_experts;
  int max_tokens;
  int max_topk;
  int regions;

  EP4J_HOST_DEVICE constexpr int64_t state() const { return 0; }
  EP4J_HOST_DEVICE constexpr int64_t experts(int region) const {
    return lines(static_cast<int64_t>(sizeof(LowLatencyState))) + region * record_bytes();
  }
  EP4J_HOST_DEVICE constexpr int64_t ordinals(int region) const {
    return experts(region) + per_choice();
  }
  EP4J_HOST_DEVICE constexpr int64_t begins(int region) const {
    return ordinals(region) + per_choice();
  }
  EP4J_HOST_DEVICE constexpr int64_t counts(int region) const {
    return begins(region) + lines(4 * int64_t{num_ranks} * local_experts);
  }
  EP4J_HOST_DEVICE constexpr int64_t bytes() const { return experts(regions); }

 private:
  EP4J_HOST_DEVICE constexpr int64_t per_choice() const {
    return lines(4 * int64_t{max_tokens} * max_topk);
  }
  EP4J_HOST_DEVICE constexpr int64_t record_bytes() const {
    return 2 * per_choice() + lines(4 * int64_t{num_ranks} * local_experts) +
           lines(4 * int64_t{local_experts});
  }
};

// What a low-latency kernel knows about its rank.
struct LowLatencyView {
  RankView rank;
  LowLatencyLayout layout;
  int64_t base;  // of the layout in every window
  LowLatencyState* state;
  // Of the call's region:
  int32_t* experts;
  int32_t* ordinals;
  int32_t* begins;
  int32_t* counts;

  template <class T>
  EP4J_HOST_DEVICE T* at(int rank_of_window, int64_t offset) const {
    return rank.at<T>(rank_of_window, base + offset);
  }
  template <class T>
  EP4J_HOST_DEVICE T* own(int64_t offset) const {
    return rank.own<T>(base + offset);
  }
};

}  // namespace ep4j
