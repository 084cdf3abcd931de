// A rank's window: the one allocation that its peers can address.
//
//   control  ControlLayout
//   outbox   its double, only where a network may be between ranks: for each peer the records that
//            this rank writes there, before they are put
//   low_latency  LowLatencyLayout, if the buffer has that mode
//   internode    InternodeLayout, if there are several nodes
//   regions  [num_regions] of region_bytes each
//   outputs  [num_outputs] of output_bytes each
//   arena    arena_bytes: places of any size for regions and outputs, instead of the two above
//
// Peers know where the first four lie, which are the same on all ranks. Where a region or an
// output lies they are told by grants and ready messages, so the sizes of the others may differ.
#pragma once

#include "layout/control_layout.hpp"

namespace ep4j {

struct WindowLayout {
  ControlLayout control;
  int64_t region_bytes;
  int64_t output_bytes;
  int64_t arena_bytes = 0;
  int64_t low_latency_bytes = 0;
  bool has_network = false;
  int64_t internode_bytes = 0;

  EP4J_HOST_DEVICE constexpr int64_t outbox() const { return lines(control.bytes()); }
  EP4J_HOST_DEVICE constexpr int64_t low_latency() const {
    return outbox() + (has_network ? lines(control.bytes()) : 0);
  }
  EP4J_HOST_DEVICE constexpr int64_t internode() const {
    return low_latency() + lines(low_latency_bytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t region(int index) const {
    return internode() + lines(internode_bytes) + index * lines(region_bytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t output(int index) const {
    return region(control.regions) + index * lines(output_bytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t arena() const { return output(control.outputs); }
  EP4J_HOST_DEVICE constexpr int64_t bytes() const { return arena() + lines(arena_bytes); }
};

}  // namespace ep4j
