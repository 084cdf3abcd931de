// Agrees with every peer on where rows go, before any is sent.
#pragma once

#include <cuda_runtime_api.h>

#include "device/stream.hpp"
#include "layout/handle_layout.hpp"
#include "layout/rank_view.hpp"
#include "layout/region_layout.hpp"

namespace ep4j {

struct NegotiateParams {
  RankView view;
  CallWords words;        // but for the handle of a cached call, which the device knows
  RegionLayout layout;    // of this rank's region
  int64_t region_offset;  // in this rank's window
  int64_t capacity_rows;  // that it can take; less than the layout's only without a place
  int32_t region;
  int32_t exact;     // 1: the region gets as many rows as come, the layout's at most
  int32_t no_place;  // 1: the region has no place for its layout, nobody may send
  uint32_t outputs;  // bit o: nobody is let in before output o has been read everywhere
  uint64_t regions;  // bit r: nor while a masked rank may still write to region r: this one, and
                     // in an arena those whose last place overlaps its place
  int32_t counted;  // 0: cached, the handle says where rows go
  int32_t bounded;
  int32_t alignment;
  HandleView handle;
  const void* topk_idx;  // for the value that a refusal names
  uint64_t ticket;       // of the host's counts; 0: the host asks for none
};

// Loads the kernel, so that no launch does.
cudaError_t load_negotiate();

// Negotiating blocks that fit on one multiprocessor: the largest of the kernels that wait.
cudaError_t count_negotiating_blocks(int local_experts, int* blocks);

cudaError_t launch_negotiate(const NegotiateParams& params, const Stream& stream);

}  // namespace ep4j
