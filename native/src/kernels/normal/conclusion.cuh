// Negotiate's conclusion: the call's verdict from all grants, and everything that the sending
// kernel, the receiving one and the host need.
#pragma once

#include "kernels/normal/negotiation.cuh"

namespace ep4j {

// Warp 0: the call's verdict; refusals first, then overflows, each of the lowest rank.
__device__ inline void judge_call(const Answer& answer, const WaitOutcome& outcome,
                                  Negotiation& shared) {
  const uint32_t refused = __ballot_sync(kAllLanes, answer.verdict == EP4J_REFUSED);
  const uint32_t overflown = __ballot_sync(kAllLanes, answer.verdict == EP4J_OVERFLOW);
  const uint32_t deniers = refused != 0 ? refused : overflown;
  if (lane_index() == 0) {
    shared.denier = __ffs(static_cast<int>(deniers)) - 1;
    const int32_t verdict =
        refused != 0 ? EP4J_REFUSED : (overflown != 0 ? EP4J_OVERFLOW : EP4J_SENT);
    shared.outcome = outcome.gave_up ? EP4J_ABORTED : verdict;
  }
}

// Where rows for the lane's destination go, by its grant; over a network, only that they may.
__device__ inline Destination destination_of(const NegotiateParams& params, const Answer& answer,
                                             int32_t verdict) {
  const RankView& view = params.view;
  const int rank = lane_index();
  Destination to = {};
  if (verdict == EP4J_ABORTED || answer.verdict != EP4J_SENT) {
    return to;
  }
  to.base = answer.base;
  to.granted = verdict == EP4J_SENT;
  if (!transport::reaches(view, rank)) {
    return to;
  }
  const RegionLayout layout = params.layout.with_rows(answer.capacity_rows);
  char* region = view.at<char>(rank, answer.region_offset);
  to.x = region + layout.x();
  to.scales = region + layout.scales();
  to.topk_idx = region + layout.topk_idx();
  to.topk_weights = reinterpret_cast<float*>(region + layout.topk_weights());
  to.weight = reinterpret_cast<float*>(region + layout.weight());
  to.source_rank = reinterpret_cast<int32_t*>(region + layout.source_rank());
  to.topk_slot = reinterpret_cast<int32_t*>(region + layout.topk_slot());
  to.source_token = reinterpret_cast<int32_t*>(region + layout.source_token());
  to.arrived = view.at<uint64_t>(rank, view.control.arrived(answer.region, view.rank));
  return to;
}

// The threads that write down counts, while one warp makes the SendPlan and one tells the host.
struct Recorder {
  static constexpr int kFirst = 2 * kWarpLanes;
  static constexpr int kStep = kNegotiateThreads - kFirst;
};

// What this rank receives, in its region; all zero for a call that was dropped. A recorder.
__device__ inline void record_counts(const NegotiateParams& params, const Negotiation& shared,
                                     const ExpertTable& table, bool sent) {
  const RankView& view = params.view;
  const RegionLayout layout = params.layout.with_rows(shared.region_rows);
  const bool rank_major = layout.form.rank_major();
  const int first = static_cast<int>(threadIdx.x) - Recorder::kFirst;
  char* region = view.own<char>(params.region_offset);
  int32_t* prefix = reinterpret_cast<int32_t*>(region + layout.rank_prefix());
  int32_t* offsets = reinterpret_cast<int32_t*>(region + layout.expert_offsets());
  int32_t* per_expert = reinterpret_cast<int32_t*>(region + layout.tokens_per_expert());
  for (int i = first; i < view.num_ranks; i += Recorder::kStep) {
    prefix[i] = sent && rank_major ? shared.base[i] + shared.rows[i] : 0;
  }
  for (int i = first; i <= view.local_experts; i += Recorder::kStep) {
    offsets[i] = sent && !rank_major ? static_cast<int32_t>(table.offset[i]) : 0;
    if (i < view.local_experts) {
      int64_t aligned = aligned_rows(table.real[i], params.alignment);
      per_expert[i] = sent ? static_cast<int32_t>(rank_major ? aligned : table.real[i]) : 0;
    }
  }
  if (first == 0) {
    *reinterpret_cast<int32_t*>(region + layout.num_received()) =
        sent ? static_cast<int32_t>(shared.needed) : 0;
  }
}

// What this rank receives, in its handle; all zero for a call that was dropped. A recorder.
__device__ inline void record_result(const NegotiateParams& params, const Negotiation& shared,
                                     const ExpertTable& table, bool sent) {
  const RankView& view = params.view;
  const bool rank_major = params.layout.form.rank_major();
  const int first = static_cast<int>(threadIdx.x) - Recorder::kFirst;
  for (int i = first; i <= view.local_experts; i += Recorder::kStep) {
    params.handle.expert_offsets[i] =
        sent && !rank_major ? static_cast<int32_t>(table.offset[i]) : 0;
  }
  for (int i = first; i < view.num_ranks; i += Recorder::kStep) {
    params.handle.received_rows[i] = sent ? rows_from(view, shared, i) : 0;
    if (!sent) {
      params.handle.sent_rows[i] = 0;
    }
  }
  const int groups = rank_major ? 1 : view.local_experts;
  for (int i = first; !sent && i < view.num_ranks * groups; i += Recorder::kStep) {
    params.handle.source_begin[i] = 0;
    params.handle.source_count[i] = 0;
  }
  if (first == 0) {
    *params.handle.num_received = sent ? static_cast<int32_t>(shared.needed) : 0;
    *params.handle.id = shared.epoch;
  }
}

// Expert-major: this rank's first row in each expert's group. A recorder.
__device__ inline void record_bases(const NegotiateParams& params, const Negotiation& shared) {
  const RankView& view = params.view;
  for (int i = static_cast<int>(threadIdx.x) - Recorder::kFirst; i < view.num_experts();
       i += Recorder::kStep) {
    const char* grant =
        reinterpret_cast<const char*>(grant_of(view, shared, i / view.local_experts));
    view.expert_base[i] =
        reinterpret_cast<const int32_t*>(grant + kGrantExpertBase)[i % view.local_experts];
  }
}

// Warp 1, before the call's verdict is known: shows the host what comes if it is sent.
__device__ inline void show_counts(const NegotiateParams& params, const Negotiation& shared,
                                   const ExpertTable& table) {
  const RankView& view = params.view;
  if (params.counted == 0) {
    return;
  }
  int32_t* per_expert = reinterpret_cast<int32_t*>(reinterpret_cast<char*>(view.host_counts) +
                                                   kHostCountsPerExpert);
  for (int i = lane_index(); i < view.local_experts; i += kWarpLanes) {
    const int64_t aligned = aligned_rows(table.real[i], params.alignment);
    per_expert[i] =
        params.layout.form.rank_major() ? static_cast<int32_t>(aligned) : table.real[i];
  }
  __syncwarp();
}

// Tells the host, which may be waiting. One thread of the warp that showed it the counts.
__device__ inline void tell_host(const NegotiateParams& params, const Negotiation& shared,
                                 int32_t verdict) {
  HostCounts* counts = params.view.host_counts;
  counts->verdict = verdict;
  counts->num_received =
      verdict == EP4J_SENT && params.counted != 0 ? static_cast<int32_t>(shared.needed) : 0;
  if (verdict == EP4J_OVERFLOW || verdict == EP4J_REFUSED) {
    const GrantMessage* denial = grant_of(params.view, shared, shared.denier);
    counts->origin = verdict == EP4J_REFUSED ? denial->origin : shared.denier;
    counts->refusal = denial->refusal;
    counts->needed = denial->needed;
    counts->capacity = denial->capacity;
  }
  ptx::store_release_system(&counts->ticket, params.ticket);
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

// Warp 0: what the sending kernel needs.
__device__ inline void plan_send(const NegotiateParams& params, const Negotiation& shared,
                                 const Answer& answer, int32_t verdict) {
  const RankView& view = params.view;
  LocalState& state = *view.state;
  const int rank = lane_index();
  if (rank < view.num_ranks) {
    const Destination to = destination_of(params, answer, verdict);
    state.send.destinations[rank] = to;
    if (verdict == EP4J_SENT && to.granted != 0) {
      const int64_t row_bytes =
          params.layout.form.row_bytes + 4 * int64_t{params.layout.form.scale_words};
      const uint64_t rows = static_cast<uint64_t>(answer.sent_rows);
      add_word(state.traffic[rank].rows_sent, rows);
      add_word(state.traffic[rank].bytes_sent, rows * static_cast<uint64_t>(row_bytes));
    }
  }
  if (rank == 0) {
    const int32_t received =
        params.counted != 0 ? static_cast<int32_t>(shared.needed) : shared.received;
    const bool granted_others = shared.verdict == EP4J_SENT && shared.gave_up == 0;
    state.send.epoch = shared.epoch;
    state.send.verdict = verdict;
    state.send.region_rows = params.no_place == 0 ? shared.region_rows : 0;
    state.send.num_received = verdict == EP4J_SENT ? received : 0;
    state.regions[params.region] = {shared.epoch, granted_others ? shared.sources : 0, verdict, 0};
    state.epoch = shared.epoch;
    state.dispatches = shared.ordinal;
    // A host that had no place for the region knows by itself.
    if (params.bounded != 0 && params.no_place == 0 &&
        (verdict == EP4J_OVERFLOW || verdict == EP4J_REFUSED)) {
      report_drop(params, shared, verdict);
    }
  }
}

// All threads, behind a barrier. Leaves everything that the sending kernel, the receiving one and
// the host need: a part of it by each warp, as the sending kernel waits for all of it.
__device__ inline void conclude(const NegotiateParams& params, const Negotiation& shared,
                                const ExpertTable& table, const Answer& answer) {
  const int32_t verdict = shared.outcome;
  const bool sent = verdict == EP4J_SENT;
  if (warp_index() == 0) {
    plan_send(params, shared, answer, verdict);
  } else if (threadIdx.x == kWarpLanes && params.ticket != 0) {
    tell_host(params, shared, verdict);
  } else if (threadIdx.x >= Recorder::kFirst && params.counted != 0) {
    if (sent && !params.layout.form.rank_major()) {
      record_bases(params, shared);
    }
    record_result(params, shared, table, sent);
    // Not where peers may still read what lies there: the wait for them was given up.
    if (params.no_place == 0 && (params.outputs == 0 || shared.gave_up == 0)) {
      record_counts(params, shared, table, sent);
    }
  }
}

}  // namespace ep4j
