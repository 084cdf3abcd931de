// Where packed rows begin: a warp walks over groups of rows, each group (local expert, source) in
// the order of the packing, and learns how many rows lie before each.
#pragma once

#include "device/sync/warp.cuh"

namespace ep4j {

// What this lane knows of its group.
struct RowGroup {
  int index;     // local expert * sources + source; past the last one with count 0
  int32_t flat;  // rows of all groups before
  int32_t begin; // rows before in the same local expert
  int32_t count;
};

// Calls visit(group) for 32 groups at once. All lanes of a warp. count_of(index) is a group's
// number of rows; it is called ahead of the visits, so that its loads overlap.
template <class CountOf, class Visit>
__device__ void walk_groups(int num_groups, int sources, CountOf count_of, Visit visit) {
  const int lane = lane_index();
  auto load = [&](int first) {
    return first + lane < num_groups ? static_cast<int32_t>(count_of(first + lane)) : 0;
  };
  int32_t flat = 0;
  int32_t expert_flat = 0;  // of the expert in whose midst the next 32 groups begin
  int32_t next = load(0);
  for (int first = 0; first < num_groups; first += kWarpLanes) {
    const int32_t count = next;
    next = load(first + kWarpLanes);
    const int32_t sum = warp_inclusive_sum(count);
    const int32_t before = flat + sum - count;
    const int opener = lane - (first + lane) % sources;  // lane of the expert's first group
    const int32_t opened = __shfl_sync(kAllLanes, before, opener > 0 ? opener : 0);
    const int32_t expert_begin = opener >= 0 ? opened : expert_flat;
    visit(RowGroup{first + lane, before, before - expert_begin, count});
    flat += __shfl_sync(kAllLanes, sum, kWarpLanes - 1);
    expert_flat = __shfl_sync(kAllLanes, expert_begin, kWarpLanes - 1);
  }
}

// One of many equal workers that share items out in turn.
struct Share {
  uint32_t worker;
  uint32_t workers;

  // The first item of this worker from begin on.
  __device__ uint32_t first(uint32_t begin) const {
    const uint32_t offset = begin % workers;
    return begin + (worker >= offset ? worker - offset : worker + workers - offset);
  }
};

// Calls move(group index, row inside the group, begin of the group in its expert, piece) for this
// warp's share of all pieces of all rows. All lanes of a warp.
template <class CountOf, class Move>
__device__ void share_rows(int num_groups, int sources, int pieces, const Share& share,
                           CountOf count_of, Move move) {
  walk_groups(num_groups, sources, count_of, [&](const RowGroup& group) {
    const uint32_t begin = static_cast<uint32_t>(group.flat) * static_cast<uint32_t>(pieces);
    const uint32_t end = begin + static_cast<uint32_t>(group.count) * static_cast<uint32_t>(pieces);
    const uint32_t first = share.first(begin);
    for_each_lane(__ballot_sync(kAllLanes, first < end), [&](int lane) {
      const int index = __shfl_sync(kAllLanes, group.index, lane);
      const int32_t row_begin = __shfl_sync(kAllLanes, group.begin, lane);
      const uint32_t group_begin = __shfl_sync(kAllLanes, begin, lane);
      const uint32_t group_end = __shfl_sync(kAllLanes, end, lane);
      for (uint32_t item = __shfl_sync(kAllLanes, first, lane); item < group_end;
           item += share.workers) {
        const uint32_t place = item - group_begin;
        const uint32_t row = pieces == 1 ? place : place / static_cast<uint32_t>(pieces);
        move(index, static_cast<int>(row), row_begin,
             static_cast<int>(place - row * static_cast<uint32_t>(pieces)));
      }
    });
  });
}

}  // namespace ep4j
