// A rank's private device memory: what one kernel of a call leaves for the next, and what lasts
// from call to call. No peer can address it.
//
//   state             LocalState
//   tokens_per_expert [num_experts] int32: this rank's choices, from plan to counts
//   expert_base       [num_experts] int32: first row of this rank in each expert's group
#pragma once

#include "layout/messages.hpp"
#include "layout/region_layout.hpp"

namespace ep4j {

// The first choice that breaks a rule, as one word that orders by its place.
struct BadChoice {
  static constexpr uint64_t kNone = ~uint64_t{0};

  EP4J_HOST_DEVICE static constexpr uint64_t word(int64_t index, int32_t rule) {
    return static_cast<uint64_t>(index) << 2 | static_cast<uint64_t>(rule);
  }
  EP4J_HOST_DEVICE static constexpr int64_t index(uint64_t word) {
    return static_cast<int64_t>(word >> 2);
  }
  EP4J_HOST_DEVICE static constexpr int32_t rule(uint64_t word) {
    return static_cast<int32_t>(word & 3);
  }
};

// A destination of one dispatch, as its grant says: where each field of the region begins. lane d
// of a sending warp holds entry d.
struct Destination {
  char* x;
  char* scales;
  char* topk_idx;
  float* topk_weights;
  float* weight;
  int32_t* source_rank;
  int32_t* topk_slot;
  int32_t* source_token;
  uint64_t* arrived;
  int32_t base;     // rank-major: first row of this rank
  int32_t granted;  // whether rows may go there
};

// From the negotiating kernel to the sending one.
struct SendPlan {
  uint64_t epoch;
  int32_t verdict;       // ep4j_verdict of the call
  int32_t num_received;  // rows that this rank gets, padding included
  int64_t region_rows;   // of the layout of this rank's region; 0 if it has none in this call
  Destination destinations[kMaxRanks];
};

// Where a peer's outputs lie, from the waiting kernel of a combine to the summing one.
struct PeerOutput {
  const char* x;  // null: nothing can be read there
  const float* weights;
  uint64_t* read;  // where the peer learns that its outputs were read; null: it adds nothing
  int32_t output;   // of the peer
  int32_t returns;  // sums that come from it over a network
};

struct PullPlan {
  uint64_t epoch;
  int32_t verdict;
  PeerOutput outputs[kMaxRanks];
};

// What a region is waiting for.
struct RegionRecord {
  uint64_t epoch;
  uint32_t granted;  // bit s: source s was let in
  int32_t verdict;
  uint32_t late;  // bit s: source s was let in, has been masked, and may still write
};

struct LocalState {
  uint64_t epoch;        // of the last call entered
  uint64_t dispatches;   // entered so far
  uint32_t failed;       // ep4j_fault; but for 0, every later kernel returns at once
  uint32_t blocks_done;  // of the wide kernel that runs; back to 0 at its end
  uint32_t stopped;      // of the sending kernel: destinations that masked this rank meanwhile
  uint32_t claimed;      // of the wide kernel that runs: tokens that its warps took; back to 0
  uint32_t gone;         // bit p: peer p will never write again, says the host
  uint64_t failures;     // times that this rank gave up
  uint64_t masks;        // times that it masked a rank
  uint32_t masked[kMaxRanks];
  uint64_t pardoned_masks[kMaxRanks];     // tags that an unmask has made void
  uint64_t pardoned_failures[kMaxRanks];  // as above
  uint64_t refusals[kMaxRanks];  // BadChoice words of the plan's blocks
  int32_t tokens_per_rank[kMaxRanks];
  int32_t tokens_per_node[kMaxRanks];  // over several nodes
  RegionRecord regions[kMaxRegions];
  uint64_t output_epochs[kMaxOutputs];  // epoch of each output's last publication
  SendPlan send;
  PullPlan pull;
  PeerTraffic traffic[kMaxRanks];              // of normal mode
  PeerTraffic low_latency_traffic[kMaxRanks];
};

struct LocalLayout {
  int num_experts;

  EP4J_HOST_DEVICE constexpr int64_t state() const { return 0; }
  EP4J_HOST_DEVICE constexpr int64_t tokens_per_expert() const {
    return lines(static_cast<int64_t>(sizeof(LocalState)));
  }
  EP4J_HOST_DEVICE constexpr int64_t expert_base() const {
    return tokens_per_expert() + lines(4 * int64_t{num_experts});
  }
  EP4J_HOST_DEVICE constexpr int64_t bytes() const {
    return expert_base() + lines(4 * int64_t{num_experts});
  }
};

}  // namespace ep4j
