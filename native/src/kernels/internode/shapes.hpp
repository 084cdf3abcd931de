// How the kernels of several nodes use one multiprocessor: warps of each role.
#pragma once

#include <cstdint>

#include "layout/limits.hpp"

namespace ep4j {

constexpr int kNodeWarps = 16;
constexpr int kNodeThreads = kNodeWarps * kWarpLanes;

// Warps of a block for two roles of a dispatch; the rest are the fabric's. Every block has all roles,
// so that a call may have any number of multiprocessors.
template <int kSenderWarps, int kForwarderWarps>
struct WarpShares {
  static constexpr int kSenders = kSenderWarps;
  static constexpr int kForwarders = kForwarderWarps;
};

// Shares as measured (docs/design-decisions.md): a put over the loopback is a copy, and for long
// messages slower than what it waits for; more senders would only fill the cache with messages that
// wait for their put. Short messages, and even more what a cast makes, take as long to put together.
// With several other nodes a token has a message for most of them, so there is more to forward.
struct LongMessages {
  using TwoNodes = WarpShares<5, 6>;
  using MoreNodes = WarpShares<4, 6>;
};
struct ShortMessages {
  using TwoNodes = WarpShares<7, 6>;
  using MoreNodes = WarpShares<6, 7>;
};
struct CastMessages {
  using TwoNodes = WarpShares<8, 6>;
  using MoreNodes = TwoNodes;
};
constexpr int64_t kLongMessageBytes = 10'000;
constexpr int kLeastForwarders = 6;

// Combine's sending half, where its puts wait in a queue; else every warp reduces, and does its puts.
constexpr int kReducerWarps = 10;

// A cast's scales are worked out for as much of a row at a time.
constexpr int kCastChunkBytes = 8192;

}  // namespace ep4j
