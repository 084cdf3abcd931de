// How many blocks a call across nodes may have: decided on the host from sizes alone, and tested
// there.
#pragma once

#include <algorithm>

#include "kernels/internode/shapes.hpp"
#include "layout/topology.hpp"

namespace ep4j {

// Blocks of one launch on one rank. Those of all ranks that share a device wait for each other, so
// they are resident at once, one per multiprocessor; and every source of another node has a warp of
// its own.
struct InternodeBlocks {
  int least;
  int most;

  constexpr InternodeBlocks(const Topology& topology, int num_sms, int ranks_on_device)
      : least(static_cast<int>(
            ceil_div(topology.remotes(), std::min(kLeastForwarders, kReducerWarps)))),
        most(num_sms / ranks_on_device) {}

  // Of a call that asks for so many, 0 for the default.
  constexpr bool allows(int asked) const { return asked == 0 || (asked >= least && asked <= most); }
  constexpr int of(int asked, int default_blocks) const {
    return asked > 0 ? asked : std::min(default_blocks, most);
  }
};

}  // namespace ep4j
