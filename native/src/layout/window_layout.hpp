// A rank's window: the one allocation that its peers can address.
//
//   control  ControlLayout
//   regions  [num_regions] of region_bytes each
//   outputs  [num_outputs] of output_bytes each
//   low_latency  LowLatencyLayout, if the buffer has that mode
#pragma once

#include "layout/control_layout.hpp"

namespace ep4j {

struct WindowLayout {
  ControlLayout control;
  int64_t region_bytes;
  int64_t output_bytes;
  int64_t low_latency_bytes = 0;

  EP4J_HOST_DEVICE constexpr int64_t region(int index) const {
    return lines(control.bytes()) + index * lines(region_bytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t output(int index) const {
    return region(control.regions) + index * lines(output_bytes);
  }
  EP4J_HOST_DEVICE constexpr int64_t low_latency() const { return output(control.outputs); }
  EP4J_HOST_DEVICE constexpr int64_t bytes() const { return low_latency() + low_latency_bytes; }
};

}  // namespace ep4j
