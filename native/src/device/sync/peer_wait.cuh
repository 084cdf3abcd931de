// The one place where a kernel waits for other ranks, and so the only one that knows deadlines,
// masks and failures. One warp waits, lane p for rank p; its verdict is the same on all lanes.
#pragma once

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
};

// What one look at a peer found.
enum class Look : int32_t { kNotYet, kThere, kOvertaken, kMismatch };

__device__ inline bool is_masked(const RankView& view, int peer) {
  return ptx::load_relaxed_system(&view.state->masked[peer]) != 0;
}

__device__ inline uint32_t all_ranks(const RankView& view) {
  return kAllLanes >> (kWarpLanes - view.num_ranks);
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
    const int lane = lane_index();
    const uint64_t begin = ptx::global_nanos();
    bool waiting = (ranks >> lane & 1) != 0 && !is_masked(view_, lane);
    bool there = false;
    while (true) {
      uint64_t seen = 0;
      Look found = waiting ? look(seen) : Look::kNotYet;
      if (found == Look::kThere) {
        there = true;
        waiting = false;
      }
      if (waiting && is_masked(view_, lane)) {
        waiting = false;
      }
      Fault fault = {EP4J_FAULT_NONE, site.stage, lane, view_.rank, site.region, site.epoch, seen};
      find_fault(waiting, begin, found, fault);
      uint32_t faulty = __ballot_sync(kAllLanes, fault.fault != EP4J_FAULT_NONE);
      if (faulty != 0) {
        if (lane == __ffs(static_cast<int>(faulty)) - 1) {
          give_up(view_, fault);
        }
        __syncwarp();
        return {true, 0};
      }
      if (__ballot_sync(kAllLanes, waiting) == 0) {
        return {false, __ballot_sync(kAllLanes, there)};
      }
    }
  }

 private:
  // Fills in fault if this lane knows a reason to give up; masks the peer instead where the buffer
  // was made to. A rank that failed ends every wait, also for others.
  __device__ void find_fault(bool waiting, uint64_t begin, Look found, Fault& fault) const {
    const int lane = lane_index();
    if (lane >= view_.num_ranks || lane == view_.rank) {
      return;
    }
    if (found == Look::kMismatch || found == Look::kOvertaken) {
      fault.fault = found == Look::kMismatch ? EP4J_FAULT_MISMATCH : EP4J_FAULT_OVERTAKEN;
      return;
    }
    uint64_t failed = ptx::load_relaxed_system(view_.own<uint64_t>(view_.control.failed(lane)));
    if (failed != 0 && !is_masked(view_, lane)) {
      find_origins_fault(failed, fault);
      return;
    }
    if (waiting && ptx::load_relaxed_system(view_.own<uint64_t>(view_.control.masked(lane))) != 0) {
      fault.fault = EP4J_FAULT_MASKED;
      return;
    }
    if (waiting && ptx::global_nanos() - begin > static_cast<uint64_t>(view_.timeout_nanos)) {
      if (view_.mask_on_timeout != 0) {
        mask_peer(view_, lane);
      } else {
        fault.fault = EP4J_FAULT_TIMEOUT;
      }
    }
  }

  // Passes on why the rank of this lane failed. A mismatch is one for everybody, also for whom the
  // origin's announcement arrives after its failure.
  __device__ void find_origins_fault(uint64_t failed, Fault& fault) const {
    const bool mismatch = Failure::fault(failed) == EP4J_FAULT_MISMATCH;
    const int culprit = Failure::culprit(failed);
    fault.fault = mismatch ? EP4J_FAULT_MISMATCH : EP4J_FAULT_PEER_FAILED;
    fault.origin = lane_index();
    fault.peer = mismatch && culprit == view_.rank ? lane_index() : culprit;
    fault.stage = Failure::stage(failed);
  }

  const RankView& view_;
};

}  // namespace ep4j
