// Dispatch receive: waits for one Arrival word of every source that was let in.
//
//   grid   1 block: it may wait. Launched with the send, or later: that is the hook.
//   phase        threads           waits for   publishes
//   await rows   warp 0, lane s    arrived
//   clear        all                           (rows of sources that were lost to a mask)
//
// Over several nodes only ranks of the own node write here, some on behalf of sources elsewhere, and a
// rank's own word is its last. So the words of sources elsewhere are read, and not waited for.
//
// Rows that have a place and do not come keep it: of a source that was masked after its counts, that
// was masked before a cached call, or that sent nothing because some other destination turned it
// down. They are marked as nobody's and zeroed here, in one block, because it hardly ever happens. A
// masked source whose word has not come may still write: the region's record keeps it, and nobody is
// let into the region again before the word comes.
//
// Invariant: the region's words are of the epoch that its record holds, or an earlier one.
#include "kernels/normal/dispatch_receive.hpp"

#include "device/load_kernels.cuh"
#include "device/programmatic.cuh"
#include "device/sync/quick_wait.cuh"
#include "kernels/normal/shapes.hpp"

namespace ep4j {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpLanes;

// Warp 0: sources whose rows are not there, but for a call that was dropped.
__device__ uint32_t await_rows(const ReceiveParams& params) {
  const RankView& view = params.view;
  const int source = lane_index();
  RegionRecord& region = view.state->regions[params.region];
  const RegionRecord record = region;
  const int32_t rows = source < view.num_ranks ? params.handle.received_rows[source] : 0;
  bool whole = false;
  auto look = [&](uint64_t& seen) {
    uint64_t word = ptx::load_acquire_system(
        view.own<uint64_t>(view.control.arrived(params.region, source)));
    seen = Arrival::epoch(word);
    whole = Arrival::verdict(word) == EP4J_SENT;
    return seen == record.epoch ? Look::kThere
                                : (seen < record.epoch ? Look::kNotYet : Look::kOvertaken);
  };
  const uint32_t writers = ranks_of_node(view);
  WaitSite site = {EP4J_STAGE_ARRIVAL, params.region, record.epoch, record.epoch};
  WaitOutcome outcome = quick_await(view, site, record.granted & writers, look);
  if (outcome.gave_up) {
    return 0;
  }
  bool arrived = (outcome.arrived >> source & 1) != 0;
  const bool granted = (record.granted & writers) >> source & 1;
  if ((record.granted & ~writers) >> source & 1) {
    uint64_t seen = 0;
    arrived = look(seen) == Look::kThere;
  }
  const bool late =
      granted && !arrived && may_still_write(view, params.region, record.epoch, source);
  const uint32_t all_late = __ballot_sync(kAllLanes, late);
  if (source == 0 && all_late != 0) {
    region.late = all_late;
    ptx::store_release_system(&view.host_late[params.region], all_late);
  }
  if (record.verdict != EP4J_SENT) {
    return 0;
  }
  if (arrived && whole) {
    add_word(view.state->traffic[source].rows_received, static_cast<uint64_t>(rows));
  }
  return all_ranks(view) & ~__ballot_sync(kAllLanes, arrived && whole);
}

class LostRows {
 public:
  __device__ explicit LostRows(const ReceiveParams& params)
      : params_(params), region_(params.view.own<char>(params.region_offset)) {}

  // All threads.
  __device__ void clear(int source) const {
    const int groups = params_.layout.form.rank_major() ? 1 : params_.view.local_experts;
    for (int group = 0; group < groups; group++) {
      int64_t begin = params_.handle.source_begin[source * groups + group];
      int64_t end = begin + params_.handle.source_count[source * groups + group];
      for (int64_t row = begin + warp_index(); row < end; row += kWarps) {
        clear_row(row);
      }
    }
  }

 private:
  __device__ void clear_row(int64_t row) const {
    const RegionLayout& layout = params_.layout;
    const int lane = lane_index();
    uint4* x = reinterpret_cast<uint4*>(region_ + layout.x() + row * layout.form.row_bytes);
    for (int i = lane; i < layout.form.row_bytes / kVectorBytes; i += kWarpLanes) {
      x[i] = uint4{0, 0, 0, 0};
    }
    for (int i = lane; i < layout.form.scale_words; i += kWarpLanes) {
      word<uint32_t>(layout.scales())[row * layout.form.scale_words + i] = 0;
    }
    if (layout.form.has_metadata() && lane == 0) {
      word<int32_t>(layout.source_token())[row] = -1;
    }
    if (layout.form.has_metadata() && layout.form.rank_major() && lane < layout.form.num_topk) {
      int64_t place = row * layout.form.num_topk + lane;
      if (layout.form.index_bytes == 8) {
        word<int64_t>(layout.topk_idx())[place] = -1;
      } else {
        word<int32_t>(layout.topk_idx())[place] = -1;
      }
      word<float>(layout.topk_weights())[place] = 0.0f;
    } else if (layout.form.has_metadata() && !layout.form.rank_major() && lane == 0) {
      word<float>(layout.weight())[row] = 0.0f;
      word<int32_t>(layout.source_rank())[row] = -1;
      word<int32_t>(layout.topk_slot())[row] = -1;
    }
  }

  template <class T>
  __device__ T* word(int64_t offset) const {
    return reinterpret_cast<T*>(region_ + offset);
  }

  const ReceiveParams& params_;
  char* region_;
};

__global__ void __launch_bounds__(kThreads)
    dispatch_receive_kernel(const __grid_constant__ ReceiveParams params) {
  __shared__ uint32_t lost;
  await_last_kernel();
  if (warp_index() == 0) {
    uint32_t sources = 0;
    if (!has_failed(params.view, params.view.state->regions[params.region].epoch)) {
      sources = await_rows(params);
    }
    if (lane_index() == 0) {
      lost = sources;
    }
  }
  let_next_kernel_begin();
  for_each_lane(lost, [&](int source) { LostRows(params).clear(source); });
}

}  // namespace

cudaError_t load_dispatch_receive() { return load_kernels(dispatch_receive_kernel); }

cudaError_t launch_dispatch_receive(const ReceiveParams& params, const Stream& stream) {
  return launch_behind(stream, {1, kThreads}, dispatch_receive_kernel, params);
}

}  // namespace ep4j
