// What every kernel knows about its rank: a kernel parameter, made by the runtime.
#pragma once

#include "layout/control_layout.hpp"
#include "layout/local_layout.hpp"
#include "layout/messages.hpp"

namespace ep4j {

struct RankView {
  int32_t rank;
  int32_t num_ranks;
  int32_t local_experts;
  int32_t ranks_per_node;  // num_ranks where all are one node
  int32_t mask_on_timeout;
  int32_t is_low_latency;  // whether the call is of that mode, for the statistics
  int64_t timeout_nanos;
  ControlLayout control;
  LocalState* state;
  int32_t* tokens_per_expert;
  int32_t* expert_base;
  HostCounts* host_counts;   // pinned, as the device addresses it
  FaultRecord* fault;        // pinned, as the device addresses it
  FaultRecord* drop;         // pinned: of a bounded call
  uint32_t* host_masked;     // pinned [n]: 1 while this rank masks a rank
  uint64_t* undelivered;     // pinned: first call whose result is not whole
  uint32_t* host_late;       // pinned [regions]: sources that may still write there
  int64_t outbox;  // in the own window: records for peers that only a network reaches
  char* windows[kMaxRanks];  // own one included; null where only a network reaches

  EP4J_HOST_DEVICE int num_experts() const { return num_ranks * local_experts; }

  // A record in a rank's window.
  template <class T>
  EP4J_HOST_DEVICE T* at(int rank_of_window, int64_t offset) const {
    return reinterpret_cast<T*>(windows[rank_of_window] + offset);
  }
  template <class T>
  EP4J_HOST_DEVICE T* own(int64_t offset) const {
    return at<T>(rank, offset);
  }
};

}  // namespace ep4j
