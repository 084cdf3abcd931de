// Which warp and lane a thread is, and the few warp operations that kernels need.
#pragma once

#include <cstdint>

#include "device/ptx/memory.cuh"
#include "layout/limits.hpp"

namespace ep4j {

constexpr uint32_t kAllLanes = 0xFFFFFFFF;

__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarpLanes; }

__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / kWarpLanes; }

// Calls action(lane) for each bit that is set, lowest first; the same on all lanes.
template <class Action>
__device__ __forceinline__ void for_each_lane(uint32_t lanes, Action action) {
  for (; lanes != 0; lanes &= lanes - 1) {
    action(__ffs(static_cast<int>(lanes)) - 1);
  }
}

// Nobody will read the lines before they are written again, so they need not go to memory. All lanes,
// after all lanes' loads.
__device__ __forceinline__ void discard(char* lines, int64_t bytes) {
  for (int64_t line = lane_index() * kLineBytes; line < bytes; line += kWarpLanes * kLineBytes) {
    ptx::discard_line(lines + line);
  }
}

// Sum of the values of this and all lower lanes.
template <class T>
__device__ __forceinline__ T warp_inclusive_sum(T value) {
  for (int distance = 1; distance < kWarpLanes; distance *= 2) {
    T lower = __shfl_up_sync(kAllLanes, value, distance);
    if (lane_index() >= distance) {
      value += lower;
    }
  }
  return value;
}

}  // namespace ep4j
