// Which tokens a warp takes. The first few of each warp are fixed, the rest goes to
// whoever is free: multiprocessors are not equally fast, as some share their way to memory.
#pragma once

#include "device/sync/warp.cuh"

namespace ep4j {

// A warp's items by number, ascending. A claim is made ahead of its use, so that nobody waits for
// the count.
class Claims {
 public:
  // Worker first of step has fixed items of its own, first, first + step, ...; claimed counts what
  // is claimed of the others, and is 0 when a launch begins. At most 31 claims are known at a time.
  // All lanes.
  __device__ Claims(uint32_t& claimed, int first, int step, int fixed)
      : claimed_(claimed), first_(first), step_(step), fixed_(fixed) {
    for (int number = 0; number < fixed; number++) {
      claim(number);
    }
  }

  // Claims the warp's next item. All lanes; numbers are claimed in order.
  __device__ void claim(int number) {
    if (lane_index() == number % kWarpLanes) {
      item_ = number < fixed_ ? first_ + number * step_
                              : fixed_ * step_ + static_cast<int>(atomicAdd(&claimed_, 1u));
    }
  }

  // An item that was claimed; there may be no such item. All lanes.
  __device__ int item(int number) const {
    return __shfl_sync(kAllLanes, item_, number % kWarpLanes);
  }

 private:
  uint32_t& claimed_;
  const int first_;
  const int step_;
  const int fixed_;
  int item_ = 0;  // of the claim whose number this lane has
};

// Takes items below a number one after the other, the next one being claimed meanwhile: Claims with
// one fixed item and none known ahead, for warps that have no registers for its ring. Worker w of W.
// take(item) says whether to go on. All lanes.
template <class Take>
__device__ __forceinline__ void take_in_turn(uint32_t& claimed, int worker, int workers, int items,
                                             Take take) {
  for (int item = worker; item < items;) {
    uint32_t next = 0;
    if (lane_index() == 0) {
      next = atomicAdd(&claimed, 1u);
    }
    if (!take(item)) {
      return;
    }
    item = workers + static_cast<int>(__shfl_sync(kAllLanes, next, 0));
  }
}

}  // namespace ep4j
