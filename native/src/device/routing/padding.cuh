// Rows of this rank's own region that no source writes: the ends of expert-major groups, and what a
// bounded result has past its last row. They are known before any row arrives, so the sending
// kernel marks them, which is wide, and the receiving one need not.
#pragma once

#include "device/sync/warp.cuh"
#include "layout/handle_layout.hpp"
#include "layout/rank_view.hpp"
#include "layout/region_layout.hpp"

namespace ep4j {

// Params are those of the sending kernel.
template <class Params>
class Padding {
 public:
  __device__ Padding(const Params& params, int64_t region_rows, int num_received)
      : params_(params),
        layout_(params.layout.with_rows(region_rows)),
        region_(params.view.template own<char>(params.region_offset)),
        num_received_(num_received) {}

  // All warps of the grid share the rows.
  __device__ void fill() const {
    if (layout_.rows == 0) {
      return;
    }
    const int warps = static_cast<int>(blockDim.x) / kWarpLanes;
    const int warp = static_cast<int>(blockIdx.x) * warps + warp_index();
    const int step = static_cast<int>(gridDim.x) * warps;
    if (!params_.layout.form.rank_major()) {
      fill_groups(warp, step);
    }
    if (params_.bounded != 0) {
      for (int64_t row = num_received_ + warp; row < layout_.rows; row += step) {
        mark(row);
      }
    }
  }

 private:
  __device__ void fill_groups(int warp, int step) const {
    const int experts = params_.view.local_experts;
    const int longest = params_.alignment - 1;
    const int last_source = (params_.view.num_ranks - 1) * experts;
    for (int64_t item = warp; item < int64_t{experts} * longest; item += step) {
      int expert = static_cast<int>(item / longest);
      int64_t real_end = params_.handle.source_begin[last_source + expert] +
                         params_.handle.source_count[last_source + expert];
      int64_t row = real_end + item % longest;
      if (row < params_.handle.expert_offsets[expert + 1]) {
        mark(row);
        if (params_.zero_fill != 0) {
          clear(row);
        }
      }
    }
  }

  __device__ void mark(int64_t row) const {
    const RegionLayout& layout = layout_;
    if (!layout.form.has_metadata()) {
      return;
    }
    const int lane = lane_index();
    if (lane == 0) {
      word<int32_t>(layout.source_token())[row] = -1;
    }
    if (!layout.form.rank_major() && lane == 0) {
      word<int32_t>(layout.source_rank())[row] = -1;
      word<int32_t>(layout.topk_slot())[row] = -1;
      word<float>(layout.weight())[row] = 0.0f;
    }
    if (layout.form.rank_major() && lane < layout.form.num_topk) {
      int64_t place = row * layout.form.num_topk + lane;
      if (layout.form.index_bytes == 8) {
        word<int64_t>(layout.topk_idx())[place] = -1;
      } else {
        word<int32_t>(layout.topk_idx())[place] = -1;
      }
      word<float>(layout.topk_weights())[place] = 0.0f;
    }
  }

  __device__ void clear(int64_t row) const {
    const RegionLayout& layout = layout_;
    uint4* x = reinterpret_cast<uint4*>(region_ + layout.x() + row * layout.form.row_bytes);
    for (int i = lane_index(); i < layout.form.row_bytes / kVectorBytes; i += kWarpLanes) {
      x[i] = uint4{0, 0, 0, 0};
    }
    uint32_t* scales = word<uint32_t>(layout.scales()) + row * layout.form.scale_words;
    for (int i = lane_index(); i < layout.form.scale_words; i += kWarpLanes) {
      scales[i] = 0;
    }
  }

  template <class T>
  __device__ T* word(int64_t offset) const {
    return reinterpret_cast<T*>(region_ + offset);
  }

  const Params& params_;
  const RegionLayout layout_;
  char* region_;
  int64_t num_received_;
};

}  // namespace ep4j
