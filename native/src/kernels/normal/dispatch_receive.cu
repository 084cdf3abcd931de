// Dispatch receive: waits for one Arrival word of every source that was let in.
//
//   grid   1 block: it may wait. Launched with the send, or later: that is the hook.
//   phase        threads           waits for   publishes
//   await rows   warp 0, lane s    arrived
//   clear        all                           (rows of sources that were lost to a mask)
//
// A source that is masked after its counts keeps its rows' places: they are marked as nobody's and
// their x is zeroed here, in one block, because it hardly ever happens.
//
// Invariant: the region's words are of the epoch that its record holds, or an earlier one.
#include "kernels/normal/dispatch_receive.hpp"

#include "device/load_kernels.cuh"
#include "device/sync/peer_wait.cuh"
#include "kernels/normal/shapes.hpp"

namespace ep4j {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpLanes;

// Warp 0: sources that were let in and whose rows did not come.
__device__ uint32_t await_rows(const ReceiveParams& params) {
  const RankView& view = params.view;
  const RegionRecord record = view.state->regions[params.region];
  PeerWait wait(view);
  WaitSite site = {EP4J_STAGE_ARRIVAL, params.region, record.epoch};
  WaitOutcome outcome = wait.await(site, record.granted, [&](uint64_t& seen) {
    uint64_t word = ptx::load_acquire_system(
        view.own<uint64_t>(view.control.arrived(params.region, lane_index())));
    seen = Arrival::epoch(word);
    return seen == record.epoch ? Look::kThere
                                : (seen < record.epoch ? Look::kNotYet : Look::kOvertaken);
  });
  bool sent = record.verdict == EP4J_SENT && !outcome.gave_up;
  return sent ? record.granted & ~outcome.arrived : 0;
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
    if (layout.form.has_metadata() && layout.form.rank_major() && lane < layout.form.num_topk) {
      int64_t place = row * layout.form.num_topk + lane;
      if (layout.form.index_bytes == 8) {
        reinterpret_cast<int64_t*>(region_ + layout.topk_idx())[place] = -1;
      } else {
        reinterpret_cast<int32_t*>(region_ + layout.topk_idx())[place] = -1;
      }
      reinterpret_cast<float*>(region_ + layout.topk_weights())[place] = 0.0f;
    } else if (layout.form.has_metadata() && !layout.form.rank_major() && lane == 0) {
      reinterpret_cast<float*>(region_ + layout.weight())[row] = 0.0f;
    }
  }

  const ReceiveParams& params_;
  char* region_;
};

__global__ void __launch_bounds__(kThreads)
    dispatch_receive_kernel(const __grid_constant__ ReceiveParams params) {
  __shared__ uint32_t lost;
  if (params.view.state->failed != 0) {
    return;
  }
  if (warp_index() == 0) {
    uint32_t sources = await_rows(params);
    if (lane_index() == 0) {
      lost = sources;
    }
  }
  __syncthreads();
  for_each_lane(lost, [&](int source) { LostRows(params).clear(source); });
}

}  // namespace

cudaError_t load_dispatch_receive() { return load_kernels(dispatch_receive_kernel); }

cudaError_t launch_dispatch_receive(const ReceiveParams& params, cudaStream_t stream) {
  dispatch_receive_kernel<<<1, kThreads, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace ep4j
