// Chooses the shapes of the wide kernels: decided on the host from sizes alone, and tested there.
#pragma once

#include <algorithm>

#include "device/numeric/fp8_scale.hpp"
#include "kernels/normal/shapes.hpp"
#include "layout/limits.hpp"

namespace ep4j {

// Shared memory for the scales of a chunk.
constexpr int cast_scratch_bytes(int chunk_bytes) {
  return static_cast<int>(lines(4 * ceil_div(chunk_bytes, 2 * kFp8GroupChannels)));
}

// The bulk-copy path of the sending kernel. One warp moves 14 KiB rows at under 10 GB/s (a load, a
// store, both about a microsecond), so as many warps as three stages each allow; with a cast, which
// takes a warp longer than the load of the next piece, two.
constexpr SendShape bulk_send_shape(int row_bytes, bool cast, int shared_limit) {
  int chunk = std::min(row_bytes, cast ? kMaxCastChunkBytes : kMaxChunkBytes);
  int stage = static_cast<int>(lines(chunk));
  int cast_bytes = cast ? cast_scratch_bytes(chunk) : 0;
  int budget = shared_limit - kTableBytes;
  int least_stages = cast ? 2 : 3;
  int warps = std::clamp(budget / (least_stages * stage + cast_bytes), 1, kMaxWideWarps);
  int stages = std::min((budget / warps - cast_bytes) / stage, kMaxStages);
  return {warps, stages, chunk, stage, cast_bytes, warps * (stages * stage + cast_bytes)};
}

// The load/store path: registers hold what is in flight, shared memory only a cast's scales.
constexpr SendShape plain_send_shape(int row_bytes, bool cast) {
  int chunk = std::min(row_bytes, kMaxChunkBytes);
  int cast_bytes = cast ? cast_scratch_bytes(chunk) : 0;
  return {kMaxWideWarps, 0, chunk, 0, cast_bytes, kMaxWideWarps * cast_bytes};
}

// Sums are kept in registers, 8 per vector. Seven vectors divide a row of 7,168 elements evenly,
// eight suit powers of two: the choice that leaves fewer lanes idle in the last chunk. Warps wait for
// themselves more than for rows, so there are as many as registers allow.
constexpr PullShape pull_shape(int row_bytes, bool bulk, int shared_limit) {
  int vectors = 8;
  auto padded = [row_bytes](int v) {
    int chunk = v * kWarpLanes * kVectorBytes;
    return ceil_div(row_bytes, chunk) * chunk;
  };
  if (padded(7) < padded(8)) {
    vectors = 7;
  }
  int chunk = vectors * kWarpLanes * kVectorBytes;
  constexpr int kWarps = kMaxWideWarps;
  if (!bulk) {
    return {kWarps, 0, vectors, chunk, 0};
  }
  int slots = std::min((shared_limit - kTableBytes) / (kWarps * chunk), kMaxStages);
  return {kWarps, slots, vectors, chunk, kWarps * slots * chunk};
}

}  // namespace ep4j
