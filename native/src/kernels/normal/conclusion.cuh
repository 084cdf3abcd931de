// Negotiate's conclusion: the call's verdict from all grants, and everything that the sending
// kernel, the receiving one and the host need.
#pragma once

#include "kernels/normal/negotiation.cuh"

namespace ep4j {

// Warp 0: the call's verdict; refusals first, then overflows, each of the lowest rank.
__device__ inline int32_t call_verdict(const RankView& view, Negotiation& shared) {
  const int lane = lane_index();
  int32_t said =
      (shared.answered >> lane & 1) != 0 ? grant_of(view, shared, lane)->verdict : EP4J_SENT;
  uint32_t refused = __ballot_sync(kAllLanes, said == EP4J_REFUSED);
  uint32_t overflown = __ballot_sync(kAllLanes, said == EP4J_OVERFLOW);
  uint32_t deniers = refused != 0 ? refused : overflown;
  if (lane == 0) {
    shared.denier = __ffs(static_cast<int>(deniers)) - 1;
  }
  return refused != 0 ? EP4J_REFUSED : (overflown != 0 ? EP4J_OVERFLOW : EP4J_SENT);
}

// Where rows for a destination go, by its grant; over a network, only that they may.
__device__ inline Destination destination_of(const NegotiateParams& params,
                                             const Negotiation& shared, int rank, int32_t verdict) {
  const RankView& view = params.view;
  Destination to = {};
  const GrantMessage* grant = grant_of(view, shared, rank);
  if ((shared.answered >> rank & 1) == 0 || grant->verdict != EP4J_SENT) {
    return to;
  }
  to.base = static_cast<int32_t>(grant->base);
  to.granted = verdict == EP4J_SENT;
  if (!transport::reaches(view, rank)) {
    return to;
  }
  const RegionLayout layout = params.layout.with_rows(grant->capacity_rows);
  char* region = view.at<char>(rank, grant->region_offset);
  to.x = region + layout.x();
  to.scales = region + layout.scales();
  to.topk_idx = region + layout.topk_idx();
  to.topk_weights = reinterpret_cast<float*>(region + layout.topk_weights());
  to.weight = reinterpret_cast<float*>(region + layout.weight());
  to.source_rank = reinterpret_cast<int32_t*>(region + layout.source_rank());
  to.topk_slot = reinterpret_cast<int32_t*>(region + layout.topk_slot());
  to.source_token = reinterpret_cast<int32_t*>(region + layout.source_token());
  to.arrived = view.at<uint64_t>(rank, view.control.arrived(grant->region, view.rank));
  return to;
}

// What this rank receives, in its region; all zero for a call that was dropped.
__device__ inline void record_counts(const NegotiateParams& params, const Negotiation& shared,
                                     const ExpertTable& table, bool sent) {
  const RankView& view = params.view;
  const RegionLayout layout = params.layout.with_rows(shared.region_rows);
  const bool rank_major = layout.form.rank_major();
  char* region = view.own<char>(params.region_offset);
  int32_t* prefix = reinterpret_cast<int32_t*>(region + layout.rank_prefix());
  int32_t* offsets = reinterpret_cast<int32_t*>(region + layout.expert_offsets());
  int32_t* per_expert = reinterpret_cast<int32_t*>(region + layout.tokens_per_expert());
  for (int i = threadIdx.x; i < view.num_ranks; i += kNegotiateThreads) {
    prefix[i] = sent && rank_major ? shared.base[i] + shared.rows[i] : 0;
  }
  for (int i = threadIdx.x; i <= view.local_experts; i += kNegotiateThreads) {
    offsets[i] = sent && !rank_major ? static_cast<int32_t>(table.offset[i]) : 0;
    if (i < view.local_experts) {
      int64_t aligned = aligned_rows(table.real[i], params.alignment);
      per_expert[i] = sent ? static_cast<int32_t>(rank_major ? aligned : table.real[i]) : 0;
    }
  }
  if (threadIdx.x == 0) {
    *reinterpret_cast<int32_t*>(region + layout.num_received()) =
        sent ? static_cast<int32_t>(shared.needed) : 0;
  }
}

// What this rank receives, in its handle; all zero for a call that was dropped.
__device__ inline void record_result(const NegotiateParams& params, const Negotiation& shared,
                                     const ExpertTable& table, int32_t verdict) {
  const RankView& view = params.view;
  const bool sent = verdict == EP4J_SENT;
  const bool rank_major = params.layout.form.rank_major();
  for (int i = threadIdx.x; i <= view.local_experts; i += kNegotiateThreads) {
    params.handle.expert_offsets[i] =
        sent && !rank_major ? static_cast<int32_t>(table.offset[i]) : 0;
  }
  for (int i = threadIdx.x; i < view.num_ranks; i += kNegotiateThreads) {
    params.handle.received_rows[i] = sent ? rows_from(view, shared, i) : 0;
    if (!sent) {
      params.handle.sent_rows[i] = 0;
    }
  }
  const int groups = rank_major ? 1 : view.local_experts;
  for (int i = threadIdx.x; !sent && i < view.num_ranks * groups; i += kNegotiateThreads) {
    params.handle.source_begin[i] = 0;
    params.handle.source_count[i] = 0;
  }
  if (threadIdx.x == 0) {
    *params.handle.num_received = sent ? static_cast<int32_t>(shared.needed) : 0;
    *params.handle.id = shared.epoch;
  }
}

// Tells the host, which may be waiting. All threads.
__device__ inline void tell_host(const NegotiateParams& params, const Negotiation& shared,
                                 const ExpertTable& table, int32_t verdict) {
  const RankView& view = params.view;
  HostCounts* counts = view.host_counts;
  int32_t* per_expert =
      reinterpret_cast<int32_t*>(reinterpret_cast<char*>(counts) + kHostCountsPerExpert);
  const bool counted = verdict == EP4J_SENT && params.counted != 0;
  for (int i = threadIdx.x; counted && i < view.local_experts; i += kNegotiateThreads) {
    int64_t aligned = aligned_rows(table.real[i], params.alignment);
    per_expert[i] = params.layout.form.rank_major() ? static_cast<int32_t>(aligned) : table.real[i];
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    counts->verdict = verdict;
    counts->num_received = counted ? static_cast<int32_t>(shared.needed) : 0;
    if (verdict == EP4J_OVERFLOW || verdict == EP4J_REFUSED) {
      const GrantMessage* denial = grant_of(view, shared, shared.denier);
      counts->origin = verdict == EP4J_REFUSED ? denial->origin : shared.denier;
      counts->refusal = denial->refusal;
      counts->needed = denial->needed;
      counts->capacity = denial->capacity;
    }
    ptx::store_release_system(&counts->ticket, params.ticket);
  }
}

// A bounded call has no host that waits: what dropped it is left in the fault record. One thread.
__device__ inline void report_drop(const NegotiateParams& params, const Negotiation& shared,
                                   int32_t verdict) {
  FaultRecord* record = params.view.drop;
  if (!claim_record(record)) {
    return;
  }
  const GrantMessage* denial = grant_of(params.view, shared, shared.denier);
  bool refused = verdict == EP4J_REFUSED;
  record->fault = refused ? EP4J_FAULT_REFUSED : EP4J_FAULT_OVERFLOW;
  record->stage = EP4J_STAGE_GRANT;
  record->peer = refused ? denial->origin : shared.denier;
  record->origin = params.view.rank;
  record->region = params.region;
  record->expected = shared.epoch;
  record->seen = shared.epoch;
  record->refusal = denial->refusal;
  record->needed = denial->needed;
  record->capacity = denial->capacity;
  complete_record(record);
}

// Counts the rows that the sending kernel is about to send. All threads.
__device__ inline void count_sent(const NegotiateParams& params, const Negotiation& shared) {
  const RankView& view = params.view;
  const int64_t bytes = params.layout.form.row_bytes + 4 * int64_t{params.layout.form.scale_words};
  for (int rank = threadIdx.x; rank < view.num_ranks; rank += kNegotiateThreads) {
    if (view.state->send.destinations[rank].granted != 0) {
      PeerTraffic& traffic = view.state->traffic[rank];
      traffic.rows_sent += params.handle.sent_rows[rank];
      traffic.bytes_sent += params.handle.sent_rows[rank] * bytes;
    }
  }
}

// All threads. Leaves everything that the sending kernel, the receiving one and the host need.
__device__ inline void conclude(const NegotiateParams& params, Negotiation& shared,
                                const ExpertTable& table) {
  const RankView& view = params.view;
  LocalState& state = *view.state;
  const bool granted_others = shared.verdict == EP4J_SENT && shared.gave_up == 0;
  __syncthreads();
  if (warp_index() == 0 && shared.gave_up == 0) {
    int32_t verdict = call_verdict(view, shared);
    if (lane_index() == 0) {
      shared.verdict = verdict;
    }
  }
  __syncthreads();
  const int32_t verdict = shared.gave_up != 0 ? EP4J_ABORTED : shared.verdict;
  const uint32_t answered = shared.gave_up != 0 ? 0 : shared.answered;
  for (int rank = threadIdx.x; rank < view.num_ranks; rank += kNegotiateThreads) {
    state.send.destinations[rank] =
        answered == 0 ? Destination{} : destination_of(params, shared, rank, verdict);
  }
  if (params.counted != 0) {
    for (int i = threadIdx.x;
         verdict == EP4J_SENT && !params.layout.form.rank_major() && i < view.num_experts();
         i += kNegotiateThreads) {
      const char* grant =
          reinterpret_cast<const char*>(grant_of(view, shared, i / view.local_experts));
      view.expert_base[i] =
          reinterpret_cast<const int32_t*>(grant + kGrantExpertBase)[i % view.local_experts];
    }
    record_result(params, shared, table, verdict);
    // Not where peers may still read what lies there: the wait for them was given up.
    if (params.no_place == 0 && (params.outputs == 0 || shared.gave_up == 0)) {
      record_counts(params, shared, table, verdict == EP4J_SENT);
    }
  }
  if (verdict == EP4J_SENT) {
    count_sent(params, shared);
  }
  if (params.ticket != 0) {
    tell_host(params, shared, table, verdict);
  }
  if (threadIdx.x == 0) {
    // A host that had no place for the region knows by itself.
    if (params.bounded != 0 && params.no_place == 0 &&
        (verdict == EP4J_OVERFLOW || verdict == EP4J_REFUSED)) {
      report_drop(params, shared, verdict);
    }
    state.send.epoch = shared.epoch;
    state.send.verdict = verdict;
    state.send.region_rows = params.no_place == 0 ? shared.region_rows : 0;
    state.send.num_received = verdict == EP4J_SENT ? *params.handle.num_received : 0;
    state.regions[params.region] = {shared.epoch, granted_others ? shared.sources : 0, verdict, 0};
    state.epoch = shared.epoch;
    state.dispatches = shared.ordinal;
  }
}

}  // namespace ep4j
