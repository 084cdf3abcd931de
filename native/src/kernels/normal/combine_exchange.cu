// Combine's three one-block kernels around its wide one.
//
//   kernel           grid     thread p   waits for              publishes
//   await_readers    1 warp   rank p     read, of the output    CallMessage, if a combine has begun
//                                        or of all in an arena
//   combine_publish  1 warp   rank p                            CallMessage, ReadyMessage
//   await_outputs    1 warp   rank p     ready, of this epoch   (PullPlan)
//
// A combine that has to wait before it can publish says at once which call it is in, and compares:
// else a peer in a different call would wait for it as for a silent one.
//
// A peer may have published this epoch's outputs in any of its outputs, so a waiting lane looks at
// all of them. An output is written again only after its readers have read it, so a record that was
// seen stays until it is used.
//
// Invariant: combine_publish advances the epoch, once per call.
#include "kernels/normal/combine_exchange.hpp"

#include "device/load_kernels.cuh"
#include "device/programmatic.cuh"
#include "device/sync/call_agreement.cuh"
#include "device/sync/quick_wait.cuh"
#include "kernels/normal/readers.cuh"

namespace ep4j {
namespace {

__global__ void __launch_bounds__(kWarpLanes)
    await_readers_kernel(const __grid_constant__ ReadersParams params) {
  await_last_kernel();
  const RankView& view = params.view;
  const int peer = lane_index();
  const uint64_t epoch = view.state->output_epochs[params.output];
  const uint64_t call = view.state->epoch + 1;
  if (has_failed(view, call)) {
    return;
  }
  const bool in_combine = params.handle_id != nullptr;
  CallWords words = params.words;
  if (in_combine) {
    words.handle = *params.handle_id;
    if (peer < view.num_ranks && !is_masked(view, peer)) {
      publish_call(view, call, words, peer);
    }
    __syncwarp();
  }
  auto is_read = [&] {
    uint64_t seen;
    return look_at_reader(view, params.outputs, peer, seen) == Look::kThere;
  };
  auto look = [&](uint64_t& seen) {
    uint64_t called = 0;
    if (in_combine && look_at_call(view, call, words, peer, called) == Look::kMismatch) {
      return Look::kMismatch;
    }
    return look_at_reader(view, params.outputs, peer, seen);
  };
  const WaitSite site = {EP4J_STAGE_READERS, params.output, epoch, call};
  quick_await(view, site, all_ranks(view), is_read, look);
}

__global__ void __launch_bounds__(kWarpLanes)
    combine_publish_kernel(const __grid_constant__ PublishParams params) {
  await_last_kernel();
  let_next_kernel_begin();
  const RankView& view = params.view;
  const int peer = lane_index();
  const uint64_t epoch = view.state->epoch + 1;
  if (has_failed(view, epoch)) {
    if (peer == 0) {
      view.state->output_epochs[params.output] = epoch;  // what the receiving half withholds
    }
    return;
  }
  if (peer < view.num_ranks && !is_masked(view, peer)) {
    CallWords words = params.words;
    words.handle = *params.handle_id;
    const PeerMessage<ReadyMessage> ready(view, peer, view.control.ready(params.output, view.rank),
                                          view.outbox + view.control.ready(params.output, peer));
    ready.record()->x_offset = params.message.x_offset;
    ready.record()->weights_offset = params.message.weights_offset;
    ready.record()->returns =
        params.returning == nullptr ? 0 : params.returning[peer / view.ranks_per_node];
    const auto call = announcement(view, epoch, words, peer);
    ptx::fence_system();
    call.publish_behind_fence(epoch);
    ready.publish_behind_fence(epoch);
  }
  __syncwarp();
  if (peer == 0) {
    view.state->output_epochs[params.output] = epoch;
    view.state->epoch = epoch;
  }
}

// Output in which a peer published an epoch, or -1.
__device__ int find_output(const RankView& view, uint64_t epoch, int peer) {
  for (int output = 0; output < view.control.outputs; output++) {
    Published<ReadyMessage> ready{view.own<ReadyMessage>(view.control.ready(output, peer))};
    if (ready.seen() == epoch) {
      return output;
    }
  }
  return -1;
}

__global__ void __launch_bounds__(kWarpLanes)
    await_outputs_kernel(const __grid_constant__ OutputsParams params) {
  await_last_kernel();
  const RankView& view = params.view;
  const int peer = lane_index();
  LocalState& state = *view.state;
  const uint64_t epoch = state.output_epochs[params.output];
  if (has_failed(view, epoch)) {
    return;
  }
  CallWords words = params.words;
  words.handle = *params.handle_id;
  int found = -1;
  // Ranks that open and close alike use the same output.
  const ReadyMessage* likely = view.own<ReadyMessage>(view.control.ready(params.output, peer));
  auto quick = [&] {
    const Look ready = look_for_message(view, epoch, words, peer, likely);
    if (ready != Look::kThere && ready != Look::kOvertaken) {  // it may send ahead
      return false;
    }
    found = params.output;
    return true;
  };
  auto look = [&](uint64_t& seen) {
    Look call = look_at_call(view, epoch, words, peer, seen);
    if (call == Look::kMismatch || call == Look::kNotYet) {
      return call;
    }
    found = find_output(view, epoch, peer);
    return found >= 0 ? Look::kThere : Look::kNotYet;
  };
  const WaitSite site = {EP4J_STAGE_OUTPUT, params.output, epoch, epoch};
  const WaitOutcome outcome = quick_await(view, site, all_ranks(view), quick, look);
  let_next_kernel_begin();
  if (peer < view.num_ranks) {
    PeerOutput output = {};
    if (!outcome.gave_up && (outcome.arrived >> peer & 1) != 0) {
      const ReadyMessage* ready = view.own<ReadyMessage>(view.control.ready(found, peer));
      if (transport::reaches(view, peer)) {
        output.x = view.at<char>(peer, ready->x_offset);
        output.weights = view.at<float>(peer, ready->weights_offset);
      }
      output.read = transport::word_at(view, peer, view.control.read(found, view.rank));
      output.output = found;
      output.returns = ready->returns;
      if (params.sent_rows != nullptr) {
        state.traffic[peer].rows_combined += params.sent_rows[peer];
      }
    }
    state.pull.outputs[peer] = output;
  }
  if (peer == 0) {
    state.pull.epoch = epoch;
    state.pull.verdict = outcome.gave_up ? EP4J_ABORTED : EP4J_SENT;
  }
}

}  // namespace

cudaError_t load_combine_exchange() {
  return load_kernels(await_readers_kernel, combine_publish_kernel, await_outputs_kernel);
}

cudaError_t launch_await_readers(const ReadersParams& params, const Stream& stream) {
  return launch_behind(stream, {1, kWarpLanes}, await_readers_kernel, params);
}

cudaError_t launch_combine_publish(const PublishParams& params, const Stream& stream) {
  return launch_behind(stream, {1, kWarpLanes}, combine_publish_kernel, params);
}

cudaError_t launch_await_outputs(const OutputsParams& params, const Stream& stream) {
  return launch_behind(stream, {1, kWarpLanes}, await_outputs_kernel, params);
}

}  // namespace ep4j
