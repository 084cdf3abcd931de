// Messages that only a network reaches: put to their slots, each with a count of its own.
//
// A message is put from a place in this rank's window, one per token and inbox, which stays as it
// is until every destination has emptied the inbox. Without a network there is nothing of all this.
#pragma once

#include "device/sync/warp.cuh"
#include "device/transport/fabric.cuh"
#include "kernels/low_latency/dispatch.hpp"

namespace ep4j {

// In a block's shared memory: slots of the current token and the one before, by choice.
template <bool kHasNetwork>
class NetworkMessages {
 public:
  // Keeps this lane's slot, and counts it, if only a network reaches it. All lanes of one warp.
  __device__ bool take(const LowLatencyView& view, int inbox, int turn, int peer, int64_t slot,
                       bool there) {
    const bool far = there && !transport::reaches(view.rank, peer);
    const uint32_t any = __ballot_sync(kAllLanes, far);
    peers_[turn][lane_index()] = far ? peer : kNobody;
    slots_[turn][lane_index()] = slot;
    if (lane_index() == 0) {
      any_[turn] = any;
    }
    if (far) {
      atomicAdd(reinterpret_cast<unsigned long long*>(&view.state->rows_put[inbox][peer]), 1ull);
    }
    return far;
  }

  // Puts the token's message to the slots taken. All threads, behind a barrier after take.
  __device__ void put(const LowLatencyDispatchParams& params, int inbox, int token, int turn,
                      const char* message) const {
    if (any_[turn] == 0) {
      return;
    }
    const LowLatencyView& view = params.view;
    char* place = view.own<char>(view.layout.message(inbox, token));
    for (int i = static_cast<int>(threadIdx.x) * kVectorBytes; i < params.form.bytes();
         i += kLowLatencyThreads * kVectorBytes) {
      *reinterpret_cast<uint4*>(place + i) = *reinterpret_cast<const uint4*>(message + i);
    }
    __syncthreads();
    uint64_t* word = view.own<uint64_t>(view.layout.arrivals(inbox, view.rank.rank));
    for (int k = warp_index(); k < params.num_topk; k += kLowLatencyWarps) {
      if (peers_[turn][k] != kNobody) {
        transport::put_and_add(view.own<char>(slots_[turn][k]), place, params.form.bytes(), word, 1,
                               peers_[turn][k]);
      }
    }
  }

 private:
  static constexpr int kNobody = -1;

  int64_t slots_[2][kMaxTopk];  // in every window
  int32_t peers_[2][kMaxTopk];
  uint32_t any_[2];
};

template <>
class NetworkMessages<false> {
 public:
  __device__ bool take(const LowLatencyView&, int, int, int, int64_t, bool) { return false; }
  __device__ void put(const LowLatencyDispatchParams&, int, int, int, const char*) const {}
};

}  // namespace ep4j
