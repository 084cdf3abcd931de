// How the kernels of several nodes use one multiprocessor: warps of each role.
#pragma once

#include "layout/limits.hpp"

namespace ep4j {

constexpr int kNodeWarps = 16;
constexpr int kNodeThreads = kNodeWarps * kWarpLanes;

// Every block has all roles, so that a call may have any number of multiprocessors. A dispatch
// writes a row of another node three times, twice of it into this node.
constexpr int kSenderWarps = 6;
constexpr int kForwarderWarps = 6;
constexpr int kDispatchFabricWarps = kNodeWarps - kSenderWarps - kForwarderWarps;

// Combine's sending half.
constexpr int kReducerWarps = 11;
constexpr int kCombineFabricWarps = kNodeWarps - kReducerWarps;

// A cast's scales are worked out for as much of a row at a time.
constexpr int kCastChunkBytes = 8192;

}  // namespace ep4j
