// The one place where a kernel waits for other ranks, and so the only one that knows deadlines,
// masks and failures. One warp waits, lane p for rank p; its verdict is the same on all lanes.
#pragma once

#include "device/sync/counter.cuh"
#include "device/sync/faults.cuh"
#include "device/sync/warp.cuh"

namespace ep4j {

// What a wait came to.
struct WaitOutcome {
  bool gave_up;      // the fault is reported, the peers are told
  uint32_t arrived;  // lanes whose condition came true
};

// What is waited for, for the fault record.
struct WaitSite {
  int32_t stage;  // ep4j_stage
  int32_t region;
  uint64_t epoch;
  uint64_t call;  // this rank's
};

// What one look at a peer found.
enum class Look : int32_t { kNotYet, kThere, kOvertaken, kMismatch };

__device__ inline uint32_t all_ranks(const RankView& view) {
  return kAllLanes >> (kWarpLanes - view.num_ranks);
}

// Those that this rank reaches by loads and stores.
__device__ inline uint32_t ranks_of_node(const RankView& view) {
  const int first = view.rank / view.ranks_per_node * view.ranks_per_node;
  return kAllLanes >> (kWarpLanes - view.ranks_per_node) << first;
}

// Adds what this lane has waited for its peer to what is known of the peer. Several warps may wait
// for one peer.
__device__ inline void count_wait(const RankView& view, uint64_t nanos) {
  const int peer = lane_index();
  if (peer != view.rank) {
    PeerTraffic* traffic =
        view.is_low_latency != 0 ? view.state->low_latency_traffic : view.state->traffic;
    add_word(traffic[peer].wait_nanos, nanos);
  }
}

class PeerWait {
 public:
  __device__ explicit PeerWait(const RankView& view) : view_(view) {}

  // Waits until look(seen) is kThere on every lane in ranks that is not masked; look stores the
  // epoch it found. Ranks that are masked, or become so while they are waited for, are left out.
  // Each stage has the whole deadline: a rank that came late and waited itself may use its own up.
  // All lanes of one warp.
  template <class LookAt>
  __device__ WaitOutcome await(const WaitSite& site, uint32_t ranks, LookAt look) const {
    return wait<false>(site, ranks, look);
  }

  // As await, but for masked ranks, too. The deadline then ends the wait under either policy.
  template <class LookAt>
  __device__ WaitOutcome await_masked(const WaitSite& site, uint32_t ranks, LookAt look) const {
    return wait<true>(site, ranks, look);
  }

 private:
  template <bool kMaskedToo, class LookAt>
  __device__ WaitOutcome wait(const WaitSite& site, uint32_t ranks, LookAt look) const {
    const int lane = lane_index();
    uint64_t begin = ptx::global_nanos();
    bool waiting = (ranks >> lane & 1) != 0 && (kMaskedToo || !is_masked(view_, lane));
    bool there = false;
    bool departed = false;
    for (bool first = true;; first = false) {
      const bool waited = waiting;
      uint64_t seen = 0;
      Look found = waiting ? look(seen) : Look::kNotYet;
      if (found == Look::kThere) {
        there = true;
        waiting = false;
      }
      if (!kMaskedToo && waiting && is_masked(view_, lane)) {
        waiting = false;
      }
      if (waited && !waiting && !first) {
        count_wait(view_, ptx::global_nanos() - begin);
      }
      // Nobody is asked for faults when all is there: what ends later calls has not harmed this one.
      if (__ballot_sync(kAllLanes, waiting) == 0) {
        return {false, __ballot_sync(kAllLanes, there)};
      }
      Fault fault = {EP4J_FAULT_NONE, site.stage, lane,      view_.rank, kSawItself,
                     site.region,     site.call,  site.epoch, seen};
      find_fault({waiting, begin, found}, departed, fault);
      uint32_t faulty = __ballot_sync(kAllLanes, fault.fault != EP4J_FAULT_NONE);
      if (faulty != 0) {
        if (lane == __ffs(static_cast<int>(most_telling(fault, faulty))) - 1) {
          const Fault chosen = fault;  // a place in memory for this one only
          give_up(view_, chosen);
        }
        __syncwarp();
        return {true, 0};
      }
    }
  }

  // Of several faults at once: a mismatch is one for everybody, whatever else it has led to.
  __device__ static uint32_t most_telling(const Fault& fault, uint32_t faulty) {
    uint32_t mismatches = __ballot_sync(kAllLanes, fault.fault == EP4J_FAULT_MISMATCH);
    return mismatches != 0 ? mismatches : faulty;
  }

  // A lane's wait so far.
  struct Progress {
    bool waiting;
    uint64_t& begin;
    Look found;
  };

  // What a rank had put before it told that it left has come after this time, or never will: over a
  // network nothing keeps the word behind it.
  static constexpr uint64_t kUnderWayNanos = 1'000'000'000;

  // Fills in fault if this lane knows a reason to give up; masks the peer instead where the buffer
  // was made to. A rank that failed ends every wait, also for others, and so does a rank that has
  // masked this one. Of two ranks that mask each other neither counts the other's mask.
  __device__ void find_fault(const Progress& progress, bool& departed, Fault& fault) const {
    const int lane = lane_index();
    const Look found = progress.found;
    if (lane >= view_.num_ranks) {
      return;
    }
    if (lane == view_.rank) {
      if (ptx::load_relaxed_system(&view_.state->failed) != 0) {
        fault.fault = EP4J_FAULT_ABORTED;  // the host has given up for this rank
      }
      return;
    }
    if (found == Look::kMismatch || found == Look::kOvertaken) {
      fault.fault = found == Look::kMismatch ? EP4J_FAULT_MISMATCH : EP4J_FAULT_OVERTAKEN;
      fault.expected = found == Look::kMismatch ? fault.call : fault.expected;
      return;
    }
    // All before any is used: one round trip to memory. The tags that an unmask has made void are not
    // kept in registers, of which wide kernels that wait have none to spare.
    const uint64_t pardoned_failure = view_.state->pardoned_failures[lane];
    const uint64_t pardoned_mask = view_.state->pardoned_masks[lane];
    const bool masked = is_masked(view_, lane);
    const uint64_t failure =
        ptx::load_relaxed_system(view_.own<uint64_t>(view_.control.failed(lane)));
    const uint64_t mask =
        ptx::load_relaxed_system(view_.own<uint64_t>(view_.control.masked(lane)));
    if (!masked && mask != pardoned_mask) {
      fault.fault = EP4J_FAULT_MASKED;
      return;
    }
    if (!masked && failure != pardoned_failure) {
      follow_failure(progress, departed, fault);
      return;
    }
    if (progress.waiting &&
        ptx::global_nanos() - progress.begin > static_cast<uint64_t>(view_.timeout_nanos)) {
      if (view_.mask_on_timeout != 0 && !masked) {
        mask_peer(view_, lane);
      } else {
        fault.fault = EP4J_FAULT_TIMEOUT;
      }
    }
  }

  // The rank of this lane gave up. One that closed its buffer, or left because it was masked, only
  // matters to who waits for it, and only if what it sent before did not come: it is looked at once
  // more after its departure was seen, over a network for a while. One that was masked is then masked here too, under either
  // policy: that ranks learn of a mask at different times must do no harm. Where timeouts mask, so
  // is every other one, but for a mismatch, which is one for everybody. A rank that masked this one
  // before it left has not left this one alone, but the other way round.
  __device__ void follow_failure(const Progress& progress, bool& departed, Fault& fault) const {
    const bool waiting = progress.waiting;
    Published<FailureMessage> failure{
        view_.own<FailureMessage>(view_.control.failed(lane_index()))};
    failure.seen();
    if (is_masked_by(view_, lane_index())) {  // before it failed, so it is seen now at the latest
      fault.fault = EP4J_FAULT_MASKED;
      return;
    }
    const FailureMessage& told = *failure.record;
    const bool mismatch = told.fault == EP4J_FAULT_MISMATCH;
    const bool left = told.fault == EP4J_FAULT_MASKED ||
                      (told.fault == EP4J_FAULT_CLOSED && told.origin == lane_index());
    if (left && (!waiting || !departed)) {
      if (transport::kHasRemotePeers && !departed) {
        progress.begin = ptx::global_nanos();
      }
      departed = true;
      return;
    }
    if (transport::kHasRemotePeers && left && !transport::reaches(view_, lane_index()) &&
        ptx::global_nanos() - progress.begin < kUnderWayNanos) {
      return;
    }
    if (told.fault == EP4J_FAULT_MASKED || (view_.mask_on_timeout != 0 && !mismatch)) {
      if (waiting) {
        mask_peer(view_, lane_index());
      }
      return;
    }
    fault.fault = mismatch ? EP4J_FAULT_MISMATCH : EP4J_FAULT_PEER_FAILED;
    fault.stage = told.stage;
    fault.peer = told.culprit;
    fault.origin = told.origin;
    fault.reporter = lane_index();
    fault.expected = told.epoch;
    fault.seen = told.seen;
  }

  const RankView& view_;
};

}  // namespace ep4j
