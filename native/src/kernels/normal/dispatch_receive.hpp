// Waits until a dispatch's rows are at their place.
#pragma once

#include <cuda_runtime_api.h>

#include "device/stream.hpp"
#include "layout/handle_layout.hpp"
#include "layout/rank_view.hpp"
#include "layout/region_layout.hpp"

namespace ep4j {

struct ReceiveParams {
  RankView view;
  RegionLayout layout;    // of the region
  int64_t region_offset;  // in this rank's window
  int32_t region;
  HandleView handle;  // for the rows of a source that is lost
};

// Loads the kernel, so that no launch does.
cudaError_t load_dispatch_receive();

cudaError_t launch_dispatch_receive(const ReceiveParams& params, const Stream& stream);

}  // namespace ep4j
