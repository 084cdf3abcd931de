// Waits for what nearly always comes within microseconds: at first with nothing else in the loop,
// then as any other wait, with its deadline, masks and faults.
#pragma once

#include "device/sync/peer_wait.cuh"

namespace ep4j {

constexpr uint32_t kQuickNanos = 20'000;

// quick() says whether this lane's peer, if it is one of ranks, has done its part; look is what
// PeerWait takes. One warp.
template <class Quick, class LookAt>
__device__ WaitOutcome quick_await(const RankView& view, const WaitSite& site, uint32_t ranks,
                                   Quick quick, LookAt look) {
  const int peer = lane_index();
  const bool asked = (ranks >> peer & 1) != 0;
  const bool masked = asked && is_masked(view, peer);  // not used before the first look, for its time
  const uint32_t begin = static_cast<uint32_t>(ptx::global_nanos());
  uint32_t elapsed = 0;
  bool there = false;
  do {
    if (asked && !there && quick()) {
      there = true;
      if (elapsed != 0) {
        count_wait(view, elapsed);
      }
    }
    if (__all_sync(kAllLanes, there || masked || !asked)) {
      return {false, __ballot_sync(kAllLanes, asked && !masked)};
    }
    elapsed = static_cast<uint32_t>(ptx::global_nanos()) - begin;
  } while (__all_sync(kAllLanes, elapsed < kQuickNanos));
  if (asked && !there && !masked) {
    count_wait(view, elapsed);  // the rest is counted there
  }
  return PeerWait(view).await(site, ranks, look);
}

// For a look that is quick itself.
template <class LookAt>
__device__ WaitOutcome quick_await(const RankView& view, const WaitSite& site, uint32_t ranks,
                                   LookAt look) {
  auto quick = [&] {
    uint64_t seen;
    return look(seen) == Look::kThere;
  };
  return quick_await(view, site, ranks, quick, look);
}

}  // namespace ep4j
