// What a rank's device tells its host, in pinned memory.
//
//   fault        FaultRecord: what ended this rank's part
//   drop         FaultRecord: why a bounded call was dropped
//   masked       [kMaxRanks] uint32: 1 while this rank masks a rank
//   undelivered  [1] uint64: results of this call and later ones are not whole
//   late         [kMaxRegions] uint32: sources that may still write to a region
//   standing     StandingRecord
//   layout       LayoutReport
//   network      [kMaxRanks] NodeTraffic, copied there on request
//   counts       HostCounts and its int32 [local experts]
#pragma once

#include "layout/messages.hpp"

namespace ep4j {

struct PinnedLayout {
  int local_experts;

  constexpr int64_t fault() const { return 0; }
  constexpr int64_t drop() const { return lines(sizeof(FaultRecord)); }
  constexpr int64_t masked() const { return drop() + lines(sizeof(FaultRecord)); }
  constexpr int64_t undelivered() const { return masked() + lines(4 * kMaxRanks); }
  constexpr int64_t late() const { return undelivered() + lines(8); }
  constexpr int64_t standing() const { return late() + lines(4 * kMaxRegions); }
  constexpr int64_t layout() const { return standing() + lines(sizeof(StandingRecord)); }
  constexpr int64_t network() const { return layout() + lines(sizeof(LayoutReport)); }
  constexpr int64_t counts() const { return network() + lines(sizeof(NodeTraffic) * kMaxRanks); }
  constexpr int64_t bytes() const {
    return counts() + kHostCountsPerExpert + lines(4 * int64_t{local_experts});
  }
};

}  // namespace ep4j
