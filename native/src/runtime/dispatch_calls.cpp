// Layout and dispatch: arguments are checked, parameters made, kernels issued in protocol order.
#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "kernels/normal/dispatch_receive.hpp"
#include "kernels/normal/negotiate.hpp"
#include "kernels/plan/routing_plan.hpp"
#include "launch/budget.hpp"
#include "layout/pinned_layout.hpp"
#include "runtime/call.hpp"

namespace ep4j {
namespace {

CallWords dispatch_words(const ep4j_dispatch_call& call, const RowForm& form, bool counted) {
  bool cast = call.cast != EP4J_CAST_NONE;
  return {head({static_cast<uint64_t>(counted ? Operation::kDispatch : Operation::kCachedDispatch),
                static_cast<uint64_t>(form.order), static_cast<uint64_t>(call.bounded != 0),
                static_cast<uint64_t>(cast ? EP4J_FP8_E4M3 : call.dtype),
                static_cast<uint64_t>(call.cast), static_cast<uint64_t>(form.index_bytes),
                static_cast<uint64_t>(call.topk_weights != nullptr)}),
          pair(form.row_bytes, form.scale_words),
          pair(form.num_topk, counted && !form.rank_major() ? call.alignment : 1), 0};
}

}  // namespace

void Buffer::check_stream(cudaStream_t stream) const {
  require(stream != nullptr && stream != cudaStreamLegacy,
          "the stream must not be the legacy default stream, which waits for all others");
}

void Buffer::layout(const ep4j_layout_call& call, cudaStream_t stream) {
  require(call.num_tokens >= 0, "num_tokens must not be negative: ", call.num_tokens);
  require(call.num_topk >= 1 && call.num_topk <= kMaxTopk, "num_topk must be from 1 to ", kMaxTopk,
          ": ", call.num_topk);
  require(call.index_bytes == 4 || call.index_bytes == 8,
          "index_bytes must be 4 or 8: ", call.index_bytes);
  require(call.tokens_per_rank != nullptr && call.tokens_per_expert != nullptr &&
              (call.topk_idx != nullptr || call.num_tokens == 0),
          "topk_idx, tokens_per_rank and tokens_per_expert must be given");
  Call bracket(*this, stream);
  PlanParams params = {};
  params.topk_idx = call.topk_idx;
  params.index_bytes = call.index_bytes;
  params.num_tokens = call.num_tokens;
  params.num_topk = call.num_topk;
  params.num_ranks = config_.num_ranks;
  params.local_experts = local_experts_;
  params.tokens_per_rank = call.tokens_per_rank;
  params.tokens_per_expert = call.tokens_per_expert;
  params.tokens_per_node = internode_ == nullptr ? call.tokens_per_node : nullptr;
  params.is_token_in_rank = call.is_token_in_rank;
  if (call.ticket != 0) {
    params.refusals = view_.state->refusals;
    params.report = reinterpret_cast<LayoutReport*>(pinned_.device() + pinned_layout().layout());
    params.ticket = call.ticket;
    params.state = view_.state;
  }
  check(launch_rank_plan(params, on(stream)), "launching the layout");
  if (internode_ != nullptr && call.tokens_per_node != nullptr) {
    const Topology& topology = internode_->layout.topology;
    PlanParams nodes = params;
    nodes.num_ranks = topology.num_nodes();
    nodes.local_experts = local_experts_ * topology.ranks_per_node;
    nodes.tokens_per_rank = call.tokens_per_node;
    nodes.is_token_in_rank = nullptr;
    nodes.refusals = nullptr;
    nodes.report = nullptr;
    check(launch_rank_plan(nodes, on(stream)), "launching the layout of nodes");
  }
  bracket.finish();
}

bool Buffer::layout_verdict(uint64_t ticket, ep4j_layout_verdict& verdict) const {
  const LayoutReport* told =
      reinterpret_cast<const LayoutReport*>(pinned_.host() + pinned_layout().layout());
  if (__atomic_load_n(&told->ticket, __ATOMIC_ACQUIRE) != ticket) {
    return false;
  }
  verdict.rule = told->refusal.rule;
  verdict.token = told->refusal.token;
  verdict.value = told->refusal.value;
  return true;
}

const HandleRecord& Buffer::open_handle(int handle) const {
  require(handle >= 0 && handle < config_.max_handles, "handle must be from 0 to ",
          config_.max_handles - 1, ": ", handle);
  const HandleRecord& record = handle_records_[static_cast<size_t>(handle)];
  require(record.filled, "handle must be of a dispatch: ", handle, " is of none");
  return record;
}

HandleRecord Buffer::check_routing(const ep4j_dispatch_call& call) const {
  if (call.topk_idx == nullptr && call.num_topk == 0) {
    HandleRecord record = open_handle(call.handle);
    require(call.num_tokens == record.num_tokens, "num_tokens must be the handle's ",
            record.num_tokens, ": ", call.num_tokens);
    require(call.bounded == 0, "a cached dispatch takes its bound from the handle");
    return record;
  }
  require(call.handle >= 0 && call.handle < config_.max_handles, "handle must be from 0 to ",
          config_.max_handles - 1, ": ", call.handle);
  require(call.topk_idx != nullptr || call.num_tokens == 0, "topk_idx must be given with K ",
          call.num_topk);
  require(call.num_topk >= 1 && call.num_topk <= config_.max_topk, "num_topk must be from 1 to ",
          config_.max_topk, ": ", call.num_topk);
  require(call.index_bytes == 4 || call.index_bytes == 8,
          "index_bytes must be 4 or 8: ", call.index_bytes);
  require(call.order == EP4J_RANK_MAJOR || call.order == EP4J_EXPERT_MAJOR,
          "order must be an ep4j_order: ", call.order);
  require(call.alignment >= 1, "alignment must be at least 1: ", call.alignment);
  HandleRecord record;
  record.num_tokens = call.num_tokens;
  record.num_topk = call.num_topk;
  record.alignment = call.alignment;
  record.rows = call.capacity_rows;
  record.rank_major = call.order == EP4J_RANK_MAJOR;
  record.bounded = call.bounded != 0;
  record.has_weights = call.topk_weights != nullptr;
  return record;
}

void Buffer::check_rows(const ep4j_dispatch_call& call) const {
  require(call.num_tokens >= 0 && call.num_tokens <= config_.max_tokens,
          "num_tokens must be from 0 to ", config_.max_tokens, ": ", call.num_tokens);
  require(call.dtype == EP4J_BF16 || call.dtype == EP4J_FP8_E4M3,
          "dtype must be an ep4j_dtype: ", call.dtype);
  require(call.cast >= EP4J_CAST_NONE && call.cast <= EP4J_CAST_UE8M0,
          "cast must be an ep4j_cast: ", call.cast);
  require(call.cast == EP4J_CAST_NONE || call.dtype == EP4J_BF16, "the cast takes BF16 rows");
  require(call.cast == EP4J_CAST_NONE || call.hidden % kFp8GroupChannels == 0,
          "the cast needs a hidden that is a multiple of ", kFp8GroupChannels, ": ", call.hidden);
  require(call.cast == EP4J_CAST_NONE || call.scales == nullptr,
          "a call gives scales or has them made by the cast, not both");
  require(call.scales == nullptr || call.scale_words >= 1,
          "scale_words must be at least 1: ", call.scale_words);
  int64_t row_bytes = int64_t{call.hidden} * (call.dtype == EP4J_BF16 ? 2 : 1);
  require(row_bytes >= 16 && row_bytes % 16 == 0 && row_bytes <= config_.max_row_bytes,
          "rows of x must be a multiple of 16 bytes, at most ", config_.max_row_bytes, ": ",
          row_bytes);
  require(is_aligned(call.x), "x must be aligned to 16 bytes");
  require(call.x != nullptr || call.num_tokens == 0, "x must be given");
}

RowForm Buffer::row_form(const ep4j_dispatch_call& call, const HandleRecord& routing) const {
  bool counted = call.num_topk > 0;
  bool cast = call.cast != EP4J_CAST_NONE;
  RowForm form = {};
  form.order = routing.rank_major ? EP4J_RANK_MAJOR : EP4J_EXPERT_MAJOR;
  form.row_bytes = call.hidden * (call.dtype == EP4J_BF16 && !cast ? 2 : 1);
  form.scale_words = cast ? fp8_scale_words(call.hidden, call.cast)
                          : (call.scales != nullptr ? call.scale_words : 0);
  form.num_topk = counted ? call.num_topk : 0;
  form.index_bytes = counted ? call.index_bytes : 0;
  return form;
}

RegionPlan Buffer::plan_region(const ep4j_dispatch_call& call, const RowForm& form,
                               const Place& place) const {
  RegionPlan region = {};
  region.layout = {form, config_.num_ranks, local_experts_, call.capacity_rows};
  region.offset = place.offset;
  require(call.capacity_rows >= 0, "capacity_rows must not be negative: ", call.capacity_rows);
  if (!is_arena()) {
    require(region.layout.bytes() <= place.bytes, "capacity_rows must fit the region's ",
            place.bytes, " bytes: ", call.capacity_rows, " rows need ", region.layout.bytes());
    region.capacity_rows = call.capacity_rows;
    return region;
  }
  // In an arena a place that is too small is a matter for all ranks: they drop the call alike.
  const int64_t fits = region.layout.rows_in(place.bytes);
  region.exact = call.num_topk > 0 && call.bounded == 0;
  region.no_place = fits < (region.exact ? 0 : call.capacity_rows);
  region.capacity_rows = std::max(fits, int64_t{0});
  if (region.exact) {
    region.layout.rows = region.capacity_rows;
  }
  return region;
}

void Buffer::plan(const ep4j_dispatch_call& call, const HandleRecord& routing,
                  cudaStream_t stream) {
  HandleView handle = handle_view(call.handle);
  PlanParams params = {};
  params.topk_idx = call.topk_idx;
  params.topk_weights = routing.rank_major ? nullptr : call.topk_weights;
  params.index_bytes = call.index_bytes;
  params.num_tokens = call.num_tokens;
  params.num_topk = call.num_topk;
  params.num_ranks = config_.num_ranks;
  params.local_experts = local_experts_;
  params.rows = handle.rows;
  params.experts = handle.experts;
  params.weights = handle.weights;
  params.tokens_per_rank = view_.state->tokens_per_rank;
  params.tokens_per_expert = view_.tokens_per_expert;
  params.refusals = view_.state->refusals;
  check(routing.rank_major ? launch_rank_plan(params, on(stream))
                           : launch_expert_plan(params, on(stream)),
        "launching the plan");
}

void Buffer::negotiate(const ep4j_dispatch_call& call, const HandleRecord& routing,
                       const RegionPlan& region, cudaStream_t stream) {
  const bool counted = call.num_topk > 0;
  NegotiateParams params = {};
  params.view = view(call.timeout_nanos);
  params.words = dispatch_words(call, region.layout.form, counted);
  params.layout = region.layout;
  params.region_offset = region.offset;
  params.capacity_rows = region.capacity_rows;
  params.region = call.region;
  params.exact = region.exact;
  params.no_place = region.no_place;
  params.outputs = arena_outputs();
  params.regions = regions_at(call.region);
  params.counted = counted;
  params.bounded = call.bounded;
  params.alignment = routing.alignment;
  params.handle = handle_view(call.handle);
  params.topk_idx = call.topk_idx;
  params.ticket = call.bounded == 0 ? call.ticket : 0;
  check(launch_negotiate(params, on(stream)), "launching the negotiation");
}

void Buffer::send(const ep4j_dispatch_call& call, const HandleRecord& routing,
                  const RegionPlan& region, cudaStream_t stream) {
  const bool cast = call.cast != EP4J_CAST_NONE;
  SendParams params = {};
  params.view = view(call.timeout_nanos);
  params.layout = region.layout;
  params.region_offset = region.offset;
  params.x = static_cast<const char*>(call.x);
  params.scales = {static_cast<const uint32_t*>(call.scales), call.scale_stride_token,
                   call.scale_stride_word};
  params.topk_idx = call.topk_idx;
  params.topk_weights = call.topk_weights;
  params.handle = handle_view(call.handle);
  params.num_tokens = call.num_tokens;
  params.fanout = routing.rank_major ? config_.num_ranks : routing.num_topk;
  params.source_row_bytes = call.hidden * (call.dtype == EP4J_BF16 ? 2 : 1);
  params.cast = call.cast;
  params.counted = call.num_topk > 0;
  params.bounded = call.bounded;
  params.alignment = routing.alignment;
  params.zero_fill = call.zero_fill;
  params.shape = bulk_ ? bulk_send_shape(params.source_row_bytes, cast, limits_.shared_bytes)
                       : plain_send_shape(params.source_row_bytes, cast);
  check(launch_dispatch_send(params, bulk_, num_blocks(call.num_sms), on(stream)),
        "launching the send");
}

void Buffer::dispatch(const ep4j_dispatch_call& call, ep4j_dispatch_result& result,
                      cudaStream_t stream) {
  require_connected();
  require_reach();
  check_rows(call);
  HandleRecord routing = check_routing(call);
  num_blocks(call.num_sms);
  require(call.timeout_nanos > 0, "timeout_nanos must be positive: ", call.timeout_nanos);
  const bool counted = call.num_topk > 0;
  require(!counted || call.bounded != 0 || call.ticket != 0,
          "a counted dispatch that is not bounded needs a ticket");
  RegionState& state = free_region(call.region);
  const RegionPlan region = plan_region(call, row_form(call, routing), state.place);
  require_outputs_received();
  if (internode_ != nullptr) {
    check_message(region.layout.form);
  }
  Call bracket(*this, stream);
  require(!bracket.capturing() || call.bounded != 0 || call.ticket == 0,
          "a dispatch that the host waits for can't be captured in a graph");
  if (state.has_readers) {
    bracket.wait_for(state.released.get());
  }
  if (counted) {
    if (internode_ != nullptr) {
      plan_nodes(call, stream);
    }
    plan(call, routing, stream);
  }
  negotiate(call, routing, region, stream);
  if (internode_ != nullptr) {
    send_across(call, routing, region, stream);
  } else {
    send(call, routing, region, stream);
  }
  bracket.finish();

  state.open = true;
  state.received = false;
  state.settled = !region.exact && !region.no_place;
  state.layout = region.layout;
  state.handle = call.handle;
  if (counted) {
    routing.filled = true;
    handle_records_[static_cast<size_t>(call.handle)] = routing;
  }
  describe_result(state, result);
}

void Buffer::dispatch_receive(int region, int64_t timeout_nanos, cudaStream_t stream) {
  require_connected();
  RegionState& state = region_state(region);
  require(state.open && !state.received,
          "region must hold a dispatch that was not received: ", region);
  ReceiveParams params = {};
  params.view = view(timeout_nanos);
  params.layout = state.layout;
  params.region_offset = state.place.offset;
  params.region = region;
  params.handle = handle_view(state.handle);
  Call bracket(*this, stream);
  check(launch_dispatch_receive(params, on(stream)), "launching the receive");
  bracket.finish();
  state.received = true;
}

bool Buffer::dispatch_counts(uint64_t ticket, int64_t wait_nanos, ep4j_counts& counts,
                             int32_t* tokens_per_expert) const {
  const char* record = pinned_.host() + PinnedLayout{local_experts_}.counts();
  const HostCounts* told = reinterpret_cast<const HostCounts*>(record);
  const auto begin = std::chrono::steady_clock::now();
  const auto limit = begin + std::chrono::nanoseconds(wait_nanos);
  // Spins as long as a busy device takes, then gives the core to others.
  const auto spin_limit = begin + std::chrono::microseconds(100);
  const auto yield_limit = begin + std::chrono::milliseconds(1);
  while (__atomic_load_n(&told->ticket, __ATOMIC_ACQUIRE) != ticket) {
    auto now = std::chrono::steady_clock::now();
    if (now >= limit) {
      return false;
    }
    if (now >= yield_limit) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    } else if (now >= spin_limit) {
      std::this_thread::yield();
    }
  }
  counts.verdict = told->verdict;
  counts.num_received = told->num_received;
  counts.origin = told->origin;
  counts.rule = told->refusal.rule;
  counts.token = told->refusal.token;
  counts.value = told->refusal.value;
  counts.needed = told->needed;
  counts.capacity = told->capacity;
  std::memcpy(tokens_per_expert, record + kHostCountsPerExpert,
              sizeof(int32_t) * static_cast<size_t>(local_experts_));
  return true;
}

void Buffer::mark(cudaStream_t stream) { Call(*this, stream).finish(); }

void Buffer::release_region(int region, cudaStream_t stream) {
  RegionState& state = region_state(region);
  require(state.open && state.received, "region must hold a received result: ", region);
  Call bracket(*this, stream);
  if (!bracket.capturing()) {
    check(cudaEventRecord(state.released.get(), stream), "recording a region's readers");
    state.has_readers = true;
  }
  bracket.finish();
  state.open = false;
}

}  // namespace ep4j
