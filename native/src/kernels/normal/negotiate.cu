// Negotiate: counts out, counts in, grants out, grants in.
//
// As a destination this rank decides alone: it takes prefix sums over its sources in rank order and
// tells each one where its rows begin, or why nothing may be sent. As a source it follows what each
// destination says. Any OVERFLOW or REFUSED makes every rank drop the call alike, because every
// destination tells every source. A cached call has no counts, but waits for grants all the same: a
// grant also says that the destination's region is free.
//
//   grid   1 block: it may wait, and it alone gives the verdict
//   phase           threads                waits for   publishes
//   publish_counts  a warp per peer                    CallMessage, CountsMessage
//   await_counts    warp 0, lane p         counts
//   decide          all                                (the handle's receive plan)
//   await_late      warp 0, lane p         arrived, of masked sources of the place's last results
//   await_readers   warp 0, lane p         read, of outputs whose memory the region may have got
//   publish_grants  a warp per peer                    GrantMessage
//   await_grants    warp 0, lane p         grants
//   show_counts     warp 1, meanwhile                  (HostCounts, but for the ticket)
//   conclude        a warp or more each                SendPlan; HostCounts; result counts
//
// Invariant: the epoch advances at the end of conclude, once per call, whatever came of it.
#include "kernels/normal/negotiate.hpp"

#include "device/load_kernels.cuh"
#include "device/programmatic.cuh"
#include "device/routing/first_refusal.cuh"
#include "device/sync/call_agreement.cuh"
#include "device/sync/quick_wait.cuh"
#include "kernels/normal/conclusion.cuh"
#include "kernels/normal/decision.cuh"
#include "kernels/normal/readers.cuh"

namespace ep4j {
namespace {

// All lanes of a warp.
__device__ Refusal own_refusal(const NegotiateParams& params) {
  const RowForm& form = params.layout.form;
  return first_refusal(params.view.state->refusals, params.topk_idx, form.index_bytes,
                       form.num_topk);
}

// One thread.
__device__ void enter_call(const NegotiateParams& params, Negotiation& shared) {
  const LocalState& state = *params.view.state;
  shared.epoch = state.epoch + 1;
  shared.ordinal = state.dispatches + 1;
  shared.words = params.words;
  if (params.counted == 0) {
    shared.words.handle = *params.handle.id;
    shared.received = *params.handle.num_received;
  }
  shared.gave_up = has_failed(params.view, shared.epoch);
  shared.verdict = EP4J_SENT;
  shared.outcome = EP4J_ABORTED;
  shared.needed = 0;
  shared.region_rows = params.layout.rows;
  if (params.counted == 0) {
    find_room(params, shared);
  }
}

// Whether this rank lets its sources in without having waited for anything: then the call is
// announced with the grant, and both need one fence.
__device__ bool grants_at_once(const NegotiateParams& params, const Negotiation& shared) {
  return params.counted == 0 && params.outputs == 0 && shared.late == 0;
}

// Copies choices per expert; returns this lane's sum. All lanes of a warp.
__device__ int64_t copy_counts(const int32_t* from, int32_t* to, int experts) {
  constexpr int kBatch = 4;  // on their way at a time
  int64_t sum = 0;
  for (int first = lane_index(); first - lane_index() < experts; first += kBatch * kWarpLanes) {
    int32_t choices[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; i++) {
      const int expert = first + i * kWarpLanes;
      choices[i] = expert < experts ? from[expert] : 0;
    }
#pragma unroll
    for (int i = 0; i < kBatch; i++) {
      const int expert = first + i * kWarpLanes;
      if (expert < experts) {
        to[expert] = choices[i];
      }
      sum += choices[i];
    }
  }
  return sum;
}

__device__ void publish_counts(const NegotiateParams& params, const Negotiation& shared) {
  const RankView& view = params.view;
  const int lane = lane_index();
  for (int peer = warp_index(); peer < view.num_ranks; peer += kNegotiateWarps) {
    if (is_masked(view, peer)) {
      if (params.counted != 0 && lane == 0) {
        params.handle.sent_rows[peer] = 0;
      }
      continue;
    }
    const PeerMessage<CountsMessage> counts(
        view, peer, view.control.counts(shared.ordinal, view.rank),
        view.outbox + view.control.counts(shared.ordinal, peer));
    if (params.counted != 0) {
      const int32_t rank_rows = view.state->tokens_per_rank[peer];
      const int32_t node_rows = view.state->tokens_per_node[peer / view.ranks_per_node];
      const Refusal refusal = own_refusal(params);
      int64_t rows = copy_counts(view.tokens_per_expert + peer * view.local_experts,
                                 counts.tail<int32_t>(kCountsPerExpert), view.local_experts);
      rows = __shfl_sync(kAllLanes, warp_inclusive_sum(rows), kWarpLanes - 1);
      if (lane == 0) {
        rows = params.layout.form.rank_major() ? rank_rows : rows;
        counts.record()->refusal = refusal;
        counts.record()->rows = rows;
        counts.record()->node_rows = node_rows;
        params.handle.sent_rows[peer] = static_cast<int32_t>(rows);
      }
      __syncwarp();
    }
    if (lane == 0) {
      const auto call = announcement(view, shared.epoch, shared.words, peer);
      ptx::fence_system();
      call.publish_behind_fence(shared.epoch);
      if (params.counted != 0) {
        counts.publish_behind_fence(shared.epoch,
                                    kCountsPerExpert + 4 * int64_t{view.local_experts});
      }
    }
  }
}

// Warp 0: waits for every peer's message of this call; lane p's is at offset.
template <class Message>
__device__ WaitOutcome await_messages(const NegotiateParams& params, const Negotiation& shared,
                                      int32_t stage, int64_t offset) {
  const RankView& view = params.view;
  const int peer = lane_index();
  const Message* message = view.own<Message>(offset);
  auto quick = [&] {
    return look_for_message(view, shared.epoch, shared.words, peer, message) == Look::kThere;
  };
  auto look = [&](uint64_t& seen) {
    return look_at_message(view, shared.epoch, shared.words, peer, message, seen);
  };
  const WaitSite site = {stage, params.region, shared.epoch, shared.epoch};
  return quick_await(view, site, all_ranks(view), quick, look);
}

// Warp 0.
__device__ void await_counts(const NegotiateParams& params, Negotiation& shared) {
  const RankView& view = params.view;
  WaitOutcome outcome;
  if (params.counted != 0) {
    outcome = await_messages<CountsMessage>(params, shared, EP4J_STAGE_COUNTS,
                                            view.control.counts(shared.ordinal, lane_index()));
  } else {
    bool unmasked = lane_index() < view.num_ranks && !is_masked(view, lane_index());
    outcome = {false, __ballot_sync(kAllLanes, unmasked)};
  }
  if (lane_index() == 0) {
    shared.gave_up = outcome.gave_up;
    shared.sources = outcome.arrived;
  }
}

// Regions that a masked source may still write to, of those that this call concerns.
__device__ uint64_t late_regions(const NegotiateParams& params) {
  uint64_t late = 0;
  for (uint64_t left = params.regions; left != 0; left &= left - 1) {
    const int region = __ffsll(static_cast<long long>(left)) - 1;
    late |= params.view.state->regions[region].late != 0 ? uint64_t{1} << region : 0;
  }
  return late;
}

// Warp 0. The caller takes another region if it has one; where it could not know, or has none, the
// late writers are waited for here, before anybody is let into the region.
__device__ void await_late_writers(const NegotiateParams& params, Negotiation& shared) {
  const RankView& view = params.view;
  const PeerWait wait(view);
  bool gave_up = false;
  for (uint64_t late = shared.late; late != 0 && !gave_up; late &= late - 1) {
    const int region = __ffsll(static_cast<long long>(late)) - 1;
    const RegionRecord& last = view.state->regions[region];
    WaitSite site = {EP4J_STAGE_LATE, region, last.epoch, shared.epoch};
    WaitOutcome outcome = wait.await_masked(site, last.late, [&](uint64_t& seen) {
      seen = Arrival::epoch(ptx::load_acquire_system(
          view.own<uint64_t>(view.control.arrived(region, lane_index()))));
      return may_still_write(view, region, last.epoch, lane_index()) ? Look::kNotYet
                                                                     : Look::kThere;
    });
    gave_up = outcome.gave_up;
    if (lane_index() == 0) {
      view.host_late[region] = 0;
    }
  }
  if (lane_index() == 0) {
    shared.gave_up = gave_up;
  }
}

__device__ void publish_grants(const NegotiateParams& params, const Negotiation& shared) {
  const bool announces = grants_at_once(params, shared);
  const RankView& view = params.view;
  const int lane = lane_index();
  const bool expert_bases =
      params.counted != 0 && !params.layout.form.rank_major() && shared.verdict == EP4J_SENT;
  for (int source = warp_index(); source < view.num_ranks; source += kNegotiateWarps) {
    if (!has_counts(shared, source)) {
      continue;
    }
    const PeerMessage<GrantMessage> grant(
        view, source, view.control.grant(shared.ordinal, view.rank),
        view.outbox + view.control.grant(shared.ordinal, source));
    if (expert_bases) {
      int32_t* bases = grant.tail<int32_t>(kGrantExpertBase);
      for (int i = lane; i < view.local_experts; i += kWarpLanes) {
        bases[i] = params.handle.source_begin[source * view.local_experts + i];
      }
      __syncwarp();
    }
    if (lane == 0) {
      GrantMessage& told = *grant.record();
      told.verdict = shared.verdict;
      told.region = params.region;
      told.region_offset = params.region_offset;
      told.capacity_rows = shared.region_rows;
      told.base = params.counted != 0 ? shared.base[source] : 0;
      told.needed = shared.needed;
      told.capacity = params.capacity_rows;
      if (shared.verdict == EP4J_REFUSED) {
        told.refusal =
            reinterpret_cast<const CountsMessage*>(counts_of(view, shared, shared.refuser))
                ->refusal;
        told.origin = shared.refuser;
      }
      const int64_t bytes = kGrantExpertBase + (expert_bases ? 4 * int64_t{view.local_experts} : 0);
      if (announces) {
        const auto call = announcement(view, shared.epoch, shared.words, source);
        ptx::fence_system();
        call.publish_behind_fence(shared.epoch);
        grant.publish_behind_fence(shared.epoch, bytes);
      } else {
        grant.publish(shared.epoch, bytes);
      }
    }
  }
}

// Warp 0: what every destination says, and so the call's verdict.
__device__ Answer await_grants(const NegotiateParams& params, Negotiation& shared) {
  const int peer = lane_index();
  Answer answer = {};
  answer.sent_rows = peer < params.view.num_ranks ? params.handle.sent_rows[peer] : 0;
  const WaitOutcome outcome =
      await_messages<GrantMessage>(params, shared, EP4J_STAGE_GRANT,
                                   params.view.control.grant(shared.ordinal, peer));
  answer.verdict = EP4J_ABORTED;
  if ((outcome.arrived >> peer & 1) != 0) {
    const GrantMessage& grant = *grant_of(params.view, shared, peer);
    answer.verdict = grant.verdict;
    answer.region = grant.region;
    answer.region_offset = grant.region_offset;
    answer.capacity_rows = grant.capacity_rows;
    answer.base = static_cast<int32_t>(grant.base);
  }
  if (peer == 0) {
    shared.gave_up = outcome.gave_up;
  }
  judge_call(answer, outcome, shared);
  return answer;
}

// Warp 0. In an arena a region's place may be one that outputs had: it is granted when they have
// been read. Every rank has received its combines before it entered this call, so they will be.
__device__ void await_readers(const NegotiateParams& params, Negotiation& shared) {
  const RankView& view = params.view;
  const WaitSite site = {EP4J_STAGE_READERS, params.region, shared.epoch, shared.epoch};
  const WaitOutcome outcome = quick_await(view, site, all_ranks(view), [&](uint64_t& seen) {
    return look_at_reader(view, params.outputs, lane_index(), seen);
  });
  if (lane_index() == 0) {
    shared.gave_up = outcome.gave_up;
  }
}

// Whether the block goes on, after what one of its warps did. The second barrier keeps that warp
// from writing the next answer before all have read this one.
__device__ bool goes_on(const Negotiation& shared) {
  __syncthreads();
  const bool on = shared.gave_up == 0;
  __syncthreads();
  return on;
}

__global__ void __launch_bounds__(kNegotiateThreads, 1)
    negotiate_kernel(const __grid_constant__ NegotiateParams params) {
  __shared__ Negotiation shared;
  extern __shared__ int64_t table_memory[];
  ExpertTable table(table_memory, params.view.local_experts);
  await_last_kernel();
  if (threadIdx.x == 0) {
    enter_call(params, shared);
  } else if (threadIdx.x == kWarpLanes) {
    shared.late = late_regions(params);
  }
  bool on = goes_on(shared);
  if (on) {
    if (!grants_at_once(params, shared)) {
      publish_counts(params, shared);
    }
    if (warp_index() == 0) {
      await_counts(params, shared);
    }
    on = goes_on(shared);
  }
  if (on) {
    if (params.counted != 0) {
      decide(params, shared, table);
    }
    if (shared.late != 0) {
      if (warp_index() == 0) {
        await_late_writers(params, shared);
      }
      on = goes_on(shared);
    }
    if (on && params.outputs != 0) {
      if (warp_index() == 0) {
        await_readers(params, shared);
      }
      on = goes_on(shared);
    }
  }
  Answer answer = {};
  if (on) {
    publish_grants(params, shared);
    if (warp_index() == 0) {
      answer = await_grants(params, shared);
    } else if (warp_index() == 1 && params.ticket != 0) {
      show_counts(params, shared, table);
    }
  }
  let_next_kernel_begin();
  conclude(params, shared, table, answer);
}

}  // namespace

cudaError_t load_negotiate() { return load_kernels(negotiate_kernel); }

static size_t table_bytes(int local_experts) {
  const size_t experts = static_cast<size_t>(local_experts);
  return sizeof(int64_t) * (experts + 1) + sizeof(int32_t) * experts;
}

cudaError_t count_negotiating_blocks(int local_experts, int* blocks) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, negotiate_kernel, kNegotiateThreads,
                                                       table_bytes(local_experts));
}

cudaError_t launch_negotiate(const NegotiateParams& params, const Stream& stream) {
  const Grid grid = {1, kNegotiateThreads, table_bytes(params.view.local_experts)};
  return launch_behind(stream, grid, negotiate_kernel, params);
}

}  // namespace ep4j
