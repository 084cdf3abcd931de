// Waits for what nearly always comes within microseconds: at first with nothing else in the loop,
// then as any other wait, with its deadline, masks and faults.
#pragma once

#include "device/sync/peer_wait.cuh"

namespace ep4j {

constexpr uint64_t kQuickNanos = 20'000;

// quick() says whether this lane's peer has done its part; look is what PeerWait takes. One warp.
template <class Quick, class LookAt>
__device__ WaitOutcome quick_await(const RankView& view, const WaitSite& site, Quick quick,
                                   LookAt look) {
  const int peer = lane_index();
  const bool waiting = peer < view.num_ranks && !is_masked(view, peer);
  const uint64_t begin = ptx::global_nanos();
  bool done = !waiting;
  do {
    done = done || quick();
    if (__all_sync(kAllLanes, done)) {
      return {false, __ballot_sync(kAllLanes, waiting)};
    }
  } while (__all_sync(kAllLanes, ptx::global_nanos() - begin < kQuickNanos));
  return PeerWait(view).await(site, all_ranks(view), look);
}

}  // namespace ep4j
