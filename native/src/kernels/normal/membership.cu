// Membership: small kernels on a stream of the buffer's own, beside the calls.
//
//   kernel    grid      does
//   mask      1 thread  masks a rank at the host's word, as a wait does on a timeout
//   forget    1 thread  notes that a rank will never write again
//   leave     1 thread  ends this rank's part and tells the peers
//   standing  1 warp    copies what the host asks for to pinned memory
//   welcome   1 warp    the end of an unmask
//
// Kernels and not copies: copy engines have few queues, and a copy can wait there behind one that
// waits for a kernel that waits for a peer. And not words in pinned memory that every wait polls:
// each poll would cross the bus, and a peer's window can't be reached by the host anyway. The stream
// has the highest priority, so that it shares no hardware queue with a waiting kernel.
//
// Invariant: welcome runs while no call's kernel does, on any member; mask and leave write only what
// atomics or their own words guard.
#include "kernels/normal/membership.hpp"

#include "device/load_kernels.cuh"
#include "device/sync/faults.cuh"
#include "device/sync/warp.cuh"

namespace ep4j {
namespace {

__global__ void mask_kernel(const __grid_constant__ RankView view, int rank) {
  mask_peer(view, rank);
}

__global__ void forget_kernel(const __grid_constant__ RankView view, int rank) {
  atomicOr(&view.state->gone, 1u << rank);
}

__global__ void leave_kernel(const __grid_constant__ RankView view, int fault) {
  // A rank that failed before has told why, which a peer may still have to read.
  if (atomicCAS(&view.state->failed, 0u, static_cast<uint32_t>(fault)) == 0) {
    const uint64_t call = view.state->epoch;
    publish_failure(view, {fault, EP4J_STAGE_CALL, view.rank, view.rank, kSawItself, -1, call, call,
                           call});
  }
}

// Sources that may still write to a region.
__device__ uint32_t late_writers(const RankView& view, int region) {
  const RegionRecord& record = view.state->regions[region];
  uint32_t late = record.late;
  for (uint32_t left = late; left != 0; left &= left - 1) {
    const int source = __ffs(static_cast<int>(left)) - 1;
    if (!may_still_write(view, region, record.epoch, source)) {
      late &= ~(1u << source);
    }
  }
  return late;
}

__global__ void __launch_bounds__(kWarpLanes)
    standing_kernel(const __grid_constant__ StandingParams params) {
  const RankView& view = params.view;
  const LocalState& state = *view.state;
  StandingRecord& record = *params.record;
  const int peer = lane_index();
  bool masked_by = false;
  bool left = false;
  if (peer < view.num_ranks) {
    const uint64_t mask =
        ptx::load_acquire_system(view.own<uint64_t>(view.control.masked(peer)));
    Published<FailureMessage> failure{view.own<FailureMessage>(view.control.failed(peer))};
    const uint64_t failure_tag = failure.seen();
    record.mask_tags[peer] = mask;
    record.failure_tags[peer] = failure_tag;
    record.traffic[peer] = state.traffic[peer];
    record.low_latency_traffic[peer] = state.low_latency_traffic[peer];
    masked_by = mask != state.pardoned_masks[peer] && !is_masked(view, peer);
    left = failure_tag != state.pardoned_failures[peer] &&
           failure.record->fault == EP4J_FAULT_MASKED;
  }
  const uint32_t maskers = __ballot_sync(kAllLanes, masked_by);
  const uint32_t leavers = __ballot_sync(kAllLanes, left);
  for (int region = peer; region < view.control.regions; region += kWarpLanes) {
    record.late[region] = late_writers(view, region);
  }
  __syncwarp();
  if (peer == 0) {
    record.epoch = state.epoch;
    record.dispatches = state.dispatches;
    record.low_latency_dispatches =
        params.low_latency == nullptr ? 0 : params.low_latency->dispatches;
    record.failed = ptx::load_relaxed_system(&state.failed);
    record.masked_by = maskers;
    record.left = leavers;
    ptx::store_release_system(&record.tick, params.tick);
  }
}

__global__ void __launch_bounds__(kWarpLanes)
    welcome_kernel(const __grid_constant__ WelcomeParams params) {
  const RankView& view = params.view;
  LocalState& state = *view.state;
  const int peer = lane_index();
  if (peer < view.num_ranks && (params.members >> peer & 1) != 0) {
    state.masked[peer] = 0;
    state.pardoned_masks[peer] = params.mask_tags[peer];
    state.pardoned_failures[peer] = params.failure_tags[peer];
    ptx::store_release_system(view.host_masked + peer, 0);
  }
  // A member is in no call, so it writes nowhere any more, and has read what it will ever read.
  for (int region = peer; region < view.control.regions; region += kWarpLanes) {
    state.regions[region].late &= ~params.members;
    view.host_late[region] = state.regions[region].late;
  }
  for (int output = peer; output < view.control.outputs; output += kWarpLanes) {
    state.output_epochs[output] = 0;
  }
  if (params.low_latency != nullptr) {
    for (int i = peer; i < kMaxLowLatency; i += kWarpLanes) {
      params.low_latency->inbox_epochs[i] = 0;
      params.low_latency->output_epochs[i] = 0;
    }
    if (peer == 0) {
      params.low_latency->dispatches = params.low_latency_dispatches;
      params.low_latency->inbox_ordinal = ~uint64_t{0};  // what was worked out ahead is void
    }
  }
  if (peer == 0) {
    state.epoch = params.epoch;
    state.dispatches = params.dispatches;
    state.failed = 0;  // EP4J_FAULT_MASKED, or nothing: the host refuses to unmask otherwise
    ptx::store_release_system(view.undelivered, ~uint64_t{0});
  }
}

}  // namespace

cudaError_t load_membership() {
  return load_kernels(mask_kernel, forget_kernel, leave_kernel, standing_kernel, welcome_kernel);
}

cudaError_t launch_mask(const RankView& view, int rank, cudaStream_t stream) {
  mask_kernel<<<1, 1, 0, stream>>>(view, rank);
  return cudaGetLastError();
}

cudaError_t launch_forget(const RankView& view, int rank, cudaStream_t stream) {
  forget_kernel<<<1, 1, 0, stream>>>(view, rank);
  return cudaGetLastError();
}

cudaError_t launch_leave(const RankView& view, int fault, cudaStream_t stream) {
  leave_kernel<<<1, 1, 0, stream>>>(view, fault);
  return cudaGetLastError();
}

cudaError_t launch_standing(const StandingParams& params, cudaStream_t stream) {
  standing_kernel<<<1, kWarpLanes, 0, stream>>>(params);
  return cudaGetLastError();
}

cudaError_t launch_welcome(const WelcomeParams& params, cudaStream_t stream) {
  welcome_kernel<<<1, kWarpLanes, 0, stream>>>(params);
  return cudaGetLastError();
}

}  // namespace ep4j
