// The parts of normal mode's calls that differ over several nodes.
#include "kernels/internode/combine.hpp"
#include "kernels/internode/dispatch.hpp"
#include "kernels/normal/combine_exchange.hpp"
#include "kernels/plan/routing_plan.hpp"
#include "runtime/call.hpp"

namespace ep4j {

int Buffer::num_blocks(int num_sms) const {
  // Twenty-four multiprocessors carry what a GPU's NVLink does (targets.md, section 2) and leave
  // four fifths of a Hopper GPU to the model.
  constexpr int kDefaultSms = 24;
  if (internode_ != nullptr) {
    return internode_->num_blocks(num_sms, kDefaultSms);
  }
  require(num_sms >= 0 && num_sms <= limits_.num_sms, "num_sms must be from 0 to the device's ",
          limits_.num_sms, ": ", num_sms);
  return num_sms > 0 ? num_sms : std::min(kDefaultSms, limits_.num_sms);
}

InternodeView Buffer::internode_view(int64_t timeout_nanos) const {
  InternodeView nodes = {};
  nodes.rank = view(timeout_nanos);
  nodes.layout = internode_->layout;
  nodes.base = layout_.internode();
  nodes.state = internode_->state();
  nodes.puts = reinterpret_cast<PutSlot*>(internode_->memory.get() +
                                          internode_->state_layout.puts());
  nodes.seed = internode_->config.seed;
  return nodes;
}

// The plan's ordinals once more, with nodes for ranks: the numbers of messages.
void Buffer::plan_nodes(const ep4j_dispatch_call& call, cudaStream_t stream) {
  const Topology& topology = internode_->layout.topology;
  PlanParams params = {};
  params.topk_idx = call.topk_idx;
  params.index_bytes = call.index_bytes;
  params.num_tokens = call.num_tokens;
  params.num_topk = call.num_topk;
  params.num_ranks = topology.num_nodes();
  params.local_experts = local_experts_ * topology.ranks_per_node;
  params.rows = internode_->handle(call.handle).message(0, 0);
  params.tokens_per_rank = view_.state->tokens_per_node;
  params.tokens_per_expert = view_.tokens_per_expert;
  check(launch_rank_plan(params, on(stream)), "launching the plan of nodes");
}

void Buffer::check_message(const RowForm& form) const {
  const InternodeLayout& layout = internode_->layout;
  require(NodeMessage{form.row_bytes, form.scale_words}.bytes() <= layout.message_bytes(),
          "a row and its scales must fit a message of ", layout.message_bytes(), " bytes: ",
          form.row_bytes, " bytes and ", form.scale_words, " words");
}

void Buffer::send_across(const ep4j_dispatch_call& call, const HandleRecord& routing,
                         const RegionPlan& region, cudaStream_t stream) {
  NodeDispatchParams params = {};
  params.nodes = internode_view(call.timeout_nanos);
  params.view = params.nodes.rank;
  params.layout = region.layout;
  params.region_offset = region.offset;
  params.x = static_cast<const char*>(call.x);
  params.scales = {static_cast<const uint32_t*>(call.scales), call.scale_stride_token,
                   call.scale_stride_word};
  params.topk_idx = call.topk_idx;
  params.topk_weights = call.topk_weights;
  params.handle = handle_view(call.handle);
  params.node_handle = internode_->handle(call.handle);
  params.num_tokens = call.num_tokens;
  params.fanout = routing.rank_major ? config_.num_ranks : routing.num_topk;
  params.source_row_bytes = call.hidden * (call.dtype == EP4J_BF16 ? 2 : 1);
  params.cast = call.cast;
  params.counted = call.num_topk > 0;
  params.bounded = call.bounded;
  params.alignment = routing.alignment;
  params.zero_fill = call.zero_fill;
  check(launch_node_dispatch(params, num_blocks(call.num_sms), on(stream)),
        "launching the dispatch across nodes");
}

// Of either half's call.
template <class CombineHalf>
NodeReduceParams Buffer::reduce_params(const CombineHalf& call, bool with_weights) {
  const HandleRecord& handle = open_handle(call.handle);
  NodeReduceParams params = {};
  params.nodes = internode_view(call.timeout_nanos);
  params.view = params.nodes.rank;
  params.node_handle = internode_->handle(call.handle);
  params.row_bytes = 2 * call.hidden;
  params.num_topk = handle.num_topk;
  params.rank_major = handle.rank_major;
  params.weighted = call.weighted;
  params.with_weights = with_weights;
  params.output = call.output;
  return params;
}

// A combine's sending half goes on with this: what this node owes to others.
void Buffer::reduce_across(const ep4j_combine_call& call, const PublishParams& published,
                           cudaStream_t stream) {
  OutputsParams outputs = {};
  outputs.view = published.view;
  outputs.words = published.words;
  outputs.handle_id = published.handle_id;
  outputs.output = published.output;
  check(launch_await_outputs(outputs, on(stream)), "launching the wait for outputs");
  const NodeReduceParams params = reduce_params(call, call.topk_weights != nullptr);
  check(launch_node_reduce(params, num_blocks(call.num_sms), on(stream)),
        "launching the sums of this node");
}

void Buffer::sum_across(const ep4j_combine_receive_call& call, bool reduces,
                        cudaStream_t stream) {
  const HandleRecord& handle = open_handle(call.handle);
  NodeSumParams params = {};
  params.nodes = internode_view(call.timeout_nanos);
  params.view = params.nodes.rank;
  params.handle = handle_view(call.handle);
  params.node_handle = internode_->handle(call.handle);
  params.bias0 = static_cast<const char*>(call.bias0);
  params.bias1 = static_cast<const char*>(call.bias1);
  params.out = static_cast<char*>(call.out);
  params.out_weights = call.out_weights;
  params.num_tokens = handle.num_tokens;
  params.row_bytes = 2 * call.hidden;
  params.num_topk = handle.num_topk;
  params.fanout = handle.rank_major ? config_.num_ranks : handle.num_topk;
  params.rank_major = handle.rank_major;
  params.weighted = call.weighted;
  params.output = call.output;
  if (!reduces) {
    check(launch_node_sum(params, num_blocks(call.num_sms), on(stream)),
          "launching the sum over nodes");
    return;
  }
  const NodeReduceParams reduce = reduce_params(call, call.out_weights != nullptr);
  check(launch_node_combine(reduce, params, num_blocks(call.num_sms), on(stream)),
        "launching the combine across nodes");
}

}  // namespace ep4j
