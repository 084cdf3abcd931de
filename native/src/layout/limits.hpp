// Limits that fixed-size structures are made for, and the words used on host and device.
#pragma once

#include <cstdint>

#include "ep4j.h"

#if defined(__CUDACC__)
#define EP4J_HOST_DEVICE __host__ __device__
#else
#define EP4J_HOST_DEVICE
#endif

namespace ep4j {

// One lane of a warp stands for one rank in every wait and every fan-out.
constexpr int kMaxRanks = EP4J_MAX_RANKS;
// One lane of a warp stands for one choice of a token.
constexpr int kMaxTopk = EP4J_MAX_TOPK;
constexpr int kMaxRegions = EP4J_MAX_REGIONS;
constexpr int kMaxOutputs = EP4J_MAX_OUTPUTS;
constexpr int kMaxLowLatency = EP4J_MAX_LOW_LATENCY;  // inboxes, regions, outputs each
constexpr int kWarpLanes = 32;
constexpr int kVectorBytes = 16;  // of the widest load and store

// Regions and records start on lines of this size: a multiple of what the bulk-copy engine aligns
// to (16) and of a cache line (128), so that no two writers share one.
constexpr int64_t kLineBytes = 128;

// Rounds up to whole lines.
EP4J_HOST_DEVICE constexpr int64_t lines(int64_t bytes) {
  return (bytes + kLineBytes - 1) / kLineBytes * kLineBytes;
}

EP4J_HOST_DEVICE constexpr int64_t ceil_div(int64_t value, int64_t divisor) {
  return (value + divisor - 1) / divisor;
}

}  // namespace ep4j
