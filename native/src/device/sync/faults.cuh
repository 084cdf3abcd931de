// How a rank gives up: the first fault goes to the host's record, and every peer is told. And how
// it masks a peer. Both may be done by a kernel of a call and, at the host's word, by a kernel
// beside it, so whoever comes first does it.
#pragma once

#include "device/ptx/memory.cuh"
#include "device/sync/published.cuh"
#include "layout/rank_view.hpp"

namespace ep4j {

constexpr int kSawItself = -1;

// What went wrong, before it is written down.
struct Fault {
  int32_t fault;     // ep4j_fault
  int32_t stage;     // ep4j_stage
  int32_t peer;      // the culprit
  int32_t origin;    // rank that saw it first
  int32_t reporter;  // rank whose FailureMessage is passed on, or kSawItself
  int32_t region;
  uint64_t call;  // of this rank: its result and later ones are not whole
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

// Results of a call and of all later ones will not be whole. One thread of the call's kernels.
__device__ inline void withhold_results(const RankView& view, uint64_t call) {
  if (call < ptx::load_relaxed_system(view.undelivered)) {
    ptx::store_release_system(view.undelivered, call);
  }
}

// Whether this rank gave up, and so leaves a call's result as it is. One thread, at the beginning
// of a kernel that would complete the result.
__device__ inline bool has_failed(const RankView& view, uint64_t call) {
  if (ptx::load_relaxed_system(&view.state->failed) == 0) {
    return false;
  }
  withhold_results(view, call);
  return true;
}

// The words of both calls of a mismatch: as the reporter has them, or as they are announced here.
struct MismatchedCalls {
  const CallWords* origin;
  const CallWords* culprit;

  __device__ MismatchedCalls(const RankView& view, const Fault& fault) {
    if (fault.reporter != kSawItself) {
      const FailureMessage* told = view.own<FailureMessage>(view.control.failed(fault.reporter));
      origin = &told->origin_call;
      culprit = &told->culprit_call;
    } else {
      origin = &view.own<CallMessage>(view.control.call(fault.call, view.rank))->words;
      culprit = &view.own<CallMessage>(view.control.call(fault.call, fault.peer))->words;
    }
  }
};

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
    MismatchedCalls calls(view, fault);
    record->origin_call = *calls.origin;
    record->peer_call = *calls.culprit;
  }
  complete_record(record);
}

// Tells every peer that still has a window. One thread.
__device__ inline void publish_failure(const RankView& view, const Fault& fault) {
  const uint64_t tag = ++view.state->failures;
  int32_t first_fault = fault.fault;
  if (fault.reporter != kSawItself) {
    first_fault = view.own<FailureMessage>(view.control.failed(fault.reporter))->fault;
  }
  const uint32_t gone = ptx::load_relaxed_system(&view.state->gone);
  for (int peer = 0; peer < view.num_ranks; peer++) {
    if (peer == view.rank || (gone >> peer & 1) != 0) {
      continue;
    }
    const PeerMessage<FailureMessage> failure(view, peer, view.control.failed(view.rank),
                                              view.outbox + view.control.failed(peer));
    FailureMessage& told = *failure.record();
    told.fault = first_fault;
    told.stage = fault.stage;
    told.culprit = fault.peer;
    told.origin = fault.origin;
    told.epoch = fault.expected;
    told.seen = fault.seen;
    if (first_fault == EP4J_FAULT_MISMATCH) {
      MismatchedCalls calls(view, fault);
      told.origin_call = *calls.origin;
      told.culprit_call = *calls.culprit;
    }
    failure.publish(tag);
  }
}

// This rank gives up: every later kernel of it returns at once, every peer's wait ends. One thread.
__device__ __noinline__ inline void give_up(const RankView& view, const Fault& fault) {
  withhold_results(view, fault.call);
  if (atomicCAS(&view.state->failed, 0u, static_cast<uint32_t>(fault.fault)) == 0) {
    report(view, fault);
    publish_failure(view, fault);
  }
}

// Masks a rank: it is told, the host is told. One thread. The mask is in force here before the rank
// can know of it.
__device__ inline void mask_peer(const RankView& view, int peer) {
  LocalState& state = *view.state;
  if (atomicExch(&state.masked[peer], 1u) != 0) {
    return;
  }
  auto* masks = reinterpret_cast<unsigned long long*>(&state.masks);
  const uint64_t tag = atomicAdd(masks, 1ull) + 1;
  transport::publish(view, peer,
                     transport::word_at(view, peer, view.control.masked(view.rank)), tag);
  ptx::store_release_system(view.host_masked + peer, 1);
}

__device__ inline bool is_masked(const RankView& view, int peer) {
  return ptx::load_relaxed_system(&view.state->masked[peer]) != 0;
}

// Whether a peer has masked this rank.
__device__ inline bool is_masked_by(const RankView& view, int peer) {
  return ptx::load_relaxed_system(view.own<uint64_t>(view.control.masked(peer))) !=
         view.state->pardoned_masks[peer];
}

// Whether a peer gave up and can write nothing more: its kernels run one after the other, and later
// ones return at once. But not if its host gave up for it, beside what runs.
__device__ inline bool has_ceased(const RankView& view, int peer) {
  Published<FailureMessage> failure{view.own<FailureMessage>(view.control.failed(peer))};
  return failure.seen() != view.state->pardoned_failures[peer] &&
         (failure.record->fault != EP4J_FAULT_ABORTED || failure.record->origin != peer);
}

// Whether a source that was let into a region, and did not send its word, may still write there.
__device__ inline bool may_still_write(const RankView& view, int region, uint64_t epoch,
                                       int source) {
  uint64_t word =
      ptx::load_acquire_system(view.own<uint64_t>(view.control.arrived(region, source)));
  return Arrival::epoch(word) < epoch && !has_ceased(view, source) &&
         (ptx::load_relaxed_system(&view.state->gone) >> source & 1) == 0;
}

}  // namespace ep4j
