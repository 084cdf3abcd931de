// Waits for what nearly always comes within microseconds: at first with nothing else in the loop,
// then as any other wait, with its deadline, masks and faults.
#pragma once

#include "device/sync/peer_wait.cuh"

namespace ep4j {

constexpr uint64_t kQuickNanos = 20'000;

// quick() says whether this lane's peer, if it is one of ranks, has done its part; look is what
// PeerWait takes. One warp.
template <class Quick, class LookAt>
__device__ WaitOutcome quick_await(const RankView& view, const WaitSite& site, uint32_t ranks,
                                   Quick quick, LookAt look) {
  const int peer = lane_index();
  const bool asked = (ranks >> peer & 1) != 0;
  const bool masked = asked && is_masked(view, peer);  // not used before the first look, for its time
  const uint64_t begin = ptx::global_nanos();
  bool there = false;
  do {
    there = there || (asked && quick());
    if (__all_sync(kAllLanes, there || masked || !asked)) {
      return {false, __ballot_sync(kAllLanes, asked && !masked)};
    }
  } while (__all_sync(kAllLanes, ptx::global_nanos() - begin < kQuickNanos));
  return PeerWait(view).await(site, ranks, look);
}

}  // namespace ep4j
