// Packs messages: takes rows out of their slots and lays them one after the other, by local expert,
// source and ordinal; their scales by column; their tokens beside them.
//
// Invariant: a message is loaded into a stage only after the row that was in it has been stored
// from there, and its scales have been read, with a proxy fence between.
#pragma once

#include "device/ptx/bulk.cuh"
#include "kernels/low_latency/dispatch_storage.cuh"
#include "kernels/low_latency/row_walk.cuh"

namespace ep4j {

// How many rows came in each group; groups of ranks that did not arrive are empty.
class LandedCounts {
 public:
  __device__ LandedCounts(const LowLatencyView& view, const DispatchStorage& shared)
      : view_(view), inbox_(shared.inbox), arrived_(shared.arrived) {}

  __device__ int32_t operator()(int group) const {
    const int expert = group / view_.layout.num_ranks;
    const int source = group % view_.layout.num_ranks;
    return (arrived_ >> source & 1) != 0
               ? view_.own<int32_t>(view_.layout.landed(inbox_, source) + kLandedCounts)[expert]
               : 0;
  }

 private:
  const LowLatencyView& view_;
  const int inbox_;
  const uint32_t arrived_;
};

// Tells what came: to the result, to the record that combine reads, to the statistics. One warp.
__device__ inline void tell_received(const LowLatencyDispatchParams& params,
                                     const DispatchStorage& shared) {
  const LowLatencyView& view = params.view;
  const LowLatencyLayout& layout = view.layout;
  char* region = view.own<char>(layout.region(params.region));
  int64_t* layout_range = reinterpret_cast<int64_t*>(region + layout.layout_range());
  int32_t* count = reinterpret_cast<int32_t*>(region + layout.count());
  const int groups = layout.local_experts * layout.num_ranks;
  walk_groups(groups, layout.num_ranks, LandedCounts(view, shared), [&](const RowGroup& group) {
    if (group.index >= groups) {
      return;
    }
    const int expert = group.index / layout.num_ranks;
    const int source = group.index % layout.num_ranks;
    layout_range[group.index] = static_cast<int64_t>(group.begin) << 32 | group.count;
    view.begins[source * layout.local_experts + expert] = group.begin;
    add_word(view.rank.state->low_latency_traffic[source].rows_received,
             static_cast<uint64_t>(group.count));
    if (source == layout.num_ranks - 1) {
      const int32_t rows = group.begin + group.count;
      count[expert] = rows;
      view.counts[expert] = rows;
      if (params.receive_stats != nullptr) {
        params.receive_stats[expert] += rows;
      }
    }
  });
}

// One warp's packing.
template <bool kBulk>
class MessagePacker {
 public:
  // memory: this block's stages; barriers: one per warp.
  __device__ MessagePacker(const LowLatencyDispatchParams& params, DispatchStorage& shared,
                           char* memory)
      : params_(params),
        layout_(params.view.layout),
        shared_(shared),
        region_(params.view.own<char>(params.view.layout.region(params.region))),
        stage_(memory + params.shape.table_bytes + warp_index() * params.shape.stage_bytes),
        barrier_(&shared.barriers[warp_index()]) {}

  __device__ static int num_warps(const LowLatencyDispatchParams& params) {
    return kBulk ? params.shape.stages : kLowLatencyWarps;
  }

  // All lanes of a warp below num_warps.
  __device__ void run() {
    begin();
    // Rows that follow each other go to different multiprocessors.
    const Share share = {static_cast<uint32_t>(warp_index()) * gridDim.x + blockIdx.x,
                         static_cast<uint32_t>(num_warps(params_)) * gridDim.x};
    share_rows(layout_.local_experts * layout_.num_ranks, layout_.num_ranks, 1, share,
               LandedCounts(params_.view, shared_),
               [&](int group, int ordinal, int32_t begin, int) {
                 move(group / layout_.num_ranks, group % layout_.num_ranks, ordinal,
                      begin + ordinal);
               });
    if constexpr (kBulk) {
      ptx::bulk_wait_complete();
    }
  }

 private:
  __device__ void begin() const {
    if constexpr (kBulk) {
      if (lane_index() == 0) {
        ptx::barrier_init(barrier_, 1);
        ptx::fence_barrier_init();
        // Messages of the sending half lay here, and slots were acquired by ordinary loads.
        ptx::fence_proxy_shared();
        ptx::fence_proxy_global();
      }
      __syncwarp();
    }
  }

  __device__ void move(int expert, int source, int ordinal, int packed) {
    const char* slot =
        params_.view.own<char>(layout_.slot(shared_.inbox, expert, source, ordinal));
    const int64_t row = expert * layout_.rows_per_expert() + packed;
    char* place = region_ + layout_.x() + row * params_.form.row_bytes;
    if constexpr (kBulk) {
      move_by_engine(slot, place, expert, packed, row);
    } else {
      for (int i = lane_index() * kVectorBytes; i < params_.form.row_bytes;
           i += kWarpLanes * kVectorBytes) {
        *reinterpret_cast<uint4*>(place + i) = *reinterpret_cast<const uint4*>(slot + i);
      }
      spread(slot, expert, packed, row);
    }
  }

  __device__ void move_by_engine(const char* slot, char* place, int expert, int packed,
                                 int64_t row) {
    if (lane_index() == 0) {
      ptx::bulk_wait_sources_read();
      ptx::barrier_expect(barrier_, params_.form.bytes());
      ptx::bulk_load(stage_, slot, params_.form.bytes(), barrier_);
    }
    ptx::barrier_wait(barrier_, phase_);
    phase_ ^= 1;
    if (lane_index() == 0) {
      ptx::bulk_store(place, stage_, params_.form.row_bytes);
      ptx::bulk_commit();
    }
    spread(stage_, expert, packed, row);
    ptx::fence_proxy_shared();
    __syncwarp();
  }

  // Scales to their columns, the token to its place.
  __device__ void spread(const char* message, int expert, int packed, int64_t row) const {
    const uint32_t* words = reinterpret_cast<const uint32_t*>(message + params_.form.scales());
    uint32_t* columns = reinterpret_cast<uint32_t*>(region_ + layout_.scales()) +
                        expert * params_.form.scale_words * layout_.rows_per_expert() + packed;
    for (int word = lane_index(); word < params_.form.scale_words; word += kWarpLanes) {
      columns[word * layout_.rows_per_expert()] = words[word];
    }
    if (lane_index() == 0) {
      reinterpret_cast<int32_t*>(region_ + layout_.source_info())[row] =
          *reinterpret_cast<const int32_t*>(message + params_.form.token());
    }
  }

  const LowLatencyDispatchParams& params_;
  const LowLatencyLayout& layout_;
  const DispatchStorage& shared_;
  char* region_;
  char* stage_;
  uint64_t* barrier_;
  uint32_t phase_ = 0;
};

}  // namespace ep4j
