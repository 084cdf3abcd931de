// How a rank gives up: the first fault goes to the host's record, and every peer is told.
#pragma once

#include "device/ptx/memory.cuh"
#include "layout/rank_view.hpp"

namespace ep4j {

// What went wrong, before it is written down.
struct Fault {
  int32_t fault;  // ep4j_fault
  int32_t stage;  // ep4j_stage
  int32_t peer;
  int32_t origin;
  int32_t region;
  uint64_t expected;
  uint64_t seen;
};

enum class FaultState : uint32_t { kEmpty = 0, kWriting = 1, kComplete = 2 };

// Whether this thread may write the record. One block of one rank writes it at a time, so a plain
// check suffices; the host empties it.
__device__ inline bool claim_record(FaultRecord* record) {
  if (ptx::load_relaxed_system(&record->state) != static_cast<uint32_t>(FaultState::kEmpty)) {
    return false;
  }
  ptx::store_relaxed_system(&record->state, static_cast<uint32_t>(FaultState::kWriting));
  return true;
}

__device__ inline void complete_record(FaultRecord* record) {
  ptx::store_release_system(&record->state, static_cast<uint32_t>(FaultState::kComplete));
}

// Writes the host's record, if it is empty. One thread.
__device__ inline void report(const RankView& view, const Fault& fault) {
  FaultRecord* record = view.fault;
  if (!claim_record(record)) {
    return;
  }
  record->fault = fault.fault;
  record->stage = fault.stage;
  record->peer = fault.peer;
  record->origin = fault.origin;
  record->region = fault.region;
  record->expected = fault.expected;
  record->seen = fault.seen;
  if (fault.fault == EP4J_FAULT_MISMATCH) {
    record->own_call = view.own<CallMessage>(view.control.call(fault.expected, view.rank))->words;
    record->peer_call = view.own<CallMessage>(view.control.call(fault.expected, fault.peer))->words;
  }
  complete_record(record);
}

// This rank gives up: every later kernel of it returns at once, every peer's wait ends. One thread.
__device__ inline void give_up(const RankView& view, const Fault& fault) {
  report(view, fault);
  view.state->failed = 1;
  for (int peer = 0; peer < view.num_ranks; peer++) {
    if (peer != view.rank) {
      ptx::store_release_system(view.at<uint64_t>(peer, view.control.failed(view.rank)),
                                Failure::word(fault.fault, fault.peer, fault.stage));
    }
  }
}

// Masks a rank: it is told, the host is told. One thread.
__device__ inline void mask_peer(const RankView& view, int peer) {
  view.state->masked[peer] = 1;
  ptx::store_release_system(view.at<uint64_t>(peer, view.control.masked(view.rank)), 1);
  ptx::store_release_system(view.host_masked + peer, 1);
}

}  // namespace ep4j
