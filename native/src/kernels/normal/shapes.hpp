// How a wide kernel uses one multiprocessor: warps, and stages of shared memory for each. Chosen by
// launch/budget.hpp from sizes alone.
#pragma once

#include "layout/limits.hpp"

namespace ep4j {

// Shared memory that a wide kernel keeps for tables and barriers beside its stages.
constexpr int kTableBytes = 4096;
// A row longer than this moves in pieces, so that any row length fits.
constexpr int kMaxChunkBytes = 16384;
// With a cast, which is work for warps: smaller pieces, so that more warps have room.
constexpr int kMaxCastChunkBytes = 8192;
constexpr int kMaxStages = 8;
constexpr int kMaxWideWarps = 16;
constexpr int kMaxWideThreads = kMaxWideWarps * kWarpLanes;

struct SendShape {
  int warps;
  int stages;       // per warp; 0 on the load/store path
  int chunk_bytes;  // of the source row; the last chunk may be shorter
  int stage_bytes;
  int cast_bytes;  // per warp: scales of one chunk; 0 without a cast
  int shared_bytes;
};

struct PullShape {
  int warps;
  int slots;    // of one chunk each, per warp; 0 on the load/store path
  int vectors;  // 16-byte vectors of a chunk that one lane sums
  int chunk_bytes;
  int shared_bytes;
};

}  // namespace ep4j
