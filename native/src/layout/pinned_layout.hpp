// What a rank's device tells its host, in pinned memory.
//
//   fault    FaultRecord
//   masked   [kMaxRanks] uint32: 1 once the device has masked a rank
//   ones     [1] uint64: the value 1, which masks are copied from
//   layout   LayoutReport
//   counts   HostCounts and its int32 [local experts]
#pragma once

#include "layout/messages.hpp"

namespace ep4j {

struct PinnedLayout {
  int local_experts;

  constexpr int64_t fault() const { return 0; }
  constexpr int64_t masked() const { return lines(sizeof(FaultRecord)); }
  constexpr int64_t ones() const { return masked() + lines(4 * kMaxRanks); }
  constexpr int64_t layout() const { return ones() + lines(8); }
  constexpr int64_t counts() const { return layout() + lines(sizeof(LayoutReport)); }
  constexpr int64_t bytes() const {
    return counts() + kHostCountsPerExpert + lines(4 * int64_t{local_experts});
  }
};

}  // namespace ep4j
