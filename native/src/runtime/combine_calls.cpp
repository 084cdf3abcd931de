// Combine: arguments are checked, parameters made, kernels issued in protocol order.
#include "kernels/normal/combine_exchange.hpp"
#include "kernels/normal/combine_pull.hpp"
#include "kernels/normal/copy_pieces.hpp"
#include "launch/budget.hpp"
#include "layout/output_layout.hpp"
#include "runtime/call.hpp"

namespace ep4j {
namespace {

CallWords combine_words(const HandleRecord& handle, int hidden, bool weights, bool weighted) {
  int order = handle.rank_major ? EP4J_RANK_MAJOR : EP4J_EXPERT_MAJOR;
  return {head({static_cast<uint64_t>(Operation::kCombine), static_cast<uint64_t>(order),
                static_cast<uint64_t>(handle.bounded), EP4J_BF16, 0, 0,
                static_cast<uint64_t>(weights), static_cast<uint64_t>(weighted)}),
          pair(2 * hidden, 0), pair(handle.num_topk, 1), 0};
}

int weights_per_row(const HandleRecord& handle) { return handle.rank_major ? handle.num_topk : 1; }

}  // namespace

void Buffer::check_output(int output, int64_t rows, int hidden, int weights_per_row) const {
  require(output >= 0 && output < config_.num_outputs, "output must be from 0 to ",
          config_.num_outputs - 1, ": ", output);
  int64_t row_bytes = 2 * int64_t{hidden};
  require(row_bytes >= 16 && row_bytes % 16 == 0 && row_bytes <= config_.max_row_bytes,
          "rows of y must be a multiple of 16 bytes, at most ", config_.max_row_bytes, ": ",
          row_bytes);
  OutputLayout layout = {rows, row_bytes, weights_per_row};
  const int64_t place_bytes = outputs_[static_cast<size_t>(output)].place.bytes;
  require(rows >= 0 && layout.bytes() <= place_bytes, "rows must fit the output's ", place_bytes,
          " bytes: ", rows, " rows need ", layout.bytes());
}

void Buffer::await_readers(const PublishParams& combine, cudaStream_t stream) {
  const uint32_t outputs = is_arena() ? arena_outputs() : 1u << combine.output;
  check(launch_await_readers(
            {combine.view, combine.words, combine.handle_id, combine.output, outputs}, on(stream)),
        "launching the wait for readers");
}

void* Buffer::combine_input(int output, int64_t rows, int hidden, int64_t timeout_nanos,
                            cudaStream_t stream) {
  require_connected();
  require_reach();
  check_output(output, rows, hidden, 0);
  OutputState& state = free_output(output);
  require_outputs_received();
  Call bracket(*this, stream);
  PublishParams no_combine = {};
  no_combine.view = view(timeout_nanos);
  no_combine.output = output;
  await_readers(no_combine, stream);
  bracket.finish();
  state.handed_out = true;
  return window_->get() + state.place.offset;
}

void Buffer::combine(const ep4j_combine_call& call, cudaStream_t stream) {
  require_connected();
  const HandleRecord& handle = open_handle(call.handle);
  const bool weights = call.topk_weights != nullptr;
  require(call.weighted == 0 || (!handle.rank_major && handle.has_weights && !weights),
          "weighted needs an expert-major handle with gate weights, and no topk_weights");
  require(call.rows >= 0 && call.rows <= handle.rows, "rows must be the result's, at most ",
          handle.rows, ": ", call.rows);
  const int per_row = weights ? weights_per_row(handle) : 0;
  check_output(call.output, call.rows, call.hidden, per_row);
  const int64_t row_bytes = 2 * int64_t{call.hidden};
  const OutputLayout layout = {call.rows, row_bytes, per_row};
  OutputState& state = free_output(call.output);
  require_outputs_received();
  char* output = window_->get() + state.place.offset;
  const bool in_place = call.y == output;
  require((call.y != nullptr || call.rows == 0) && is_aligned(call.y),
          "y must be given, aligned to 16 bytes");
  const int blocks = num_blocks(call.num_sms);
  require(!in_place || state.handed_out,
          "y in an output must come from ep4j_combine_input, once per combine");
  PublishParams params = {};
  params.view = view(call.timeout_nanos);
  params.words = combine_words(handle, call.hidden, weights, call.weighted != 0);
  params.handle_id = handle_view(call.handle).id;
  params.message.x_offset = state.place.offset + layout.x();
  params.message.weights_offset = state.place.offset + layout.weights();
  params.output = call.output;
  if (internode_ != nullptr) {
    params.returning = internode_->handle(call.handle).returning();
  }
  Call bracket(*this, stream);
  if (!in_place) {
    await_readers(params, stream);
  }
  CopyParams stage = {};
  if (!in_place) {
    stage.add(call.y, output + layout.x(), call.rows * row_bytes);
  }
  if (weights) {
    stage.add(call.topk_weights, output + layout.weights(), 4 * int64_t{call.rows} * per_row);
  }
  check(launch_copy_pieces(stage, blocks, stream), "launching the staging copy");
  check(launch_combine_publish(params, on(stream)), "launching combine's publication");
  // A loopback with a seed does puts in any order, from a queue, which the sending half has.
  const bool owes =
      internode_ != nullptr && call.receive_follows != 0 && internode_->config.seed == 0;
  if (internode_ != nullptr && !owes) {
    reduce_across(call, params, stream);
  }
  bracket.finish();
  state.handed_out = false;
  state.pending = true;
  state.owes = owes;
}

void Buffer::combine_receive(const ep4j_combine_receive_call& call, cudaStream_t stream) {
  require_connected();
  const HandleRecord& handle = open_handle(call.handle);
  check_output(call.output, 0, call.hidden, 0);
  OutputState& state = outputs_[static_cast<size_t>(call.output)];
  require(state.pending, "output must hold a combine that was not received: ", call.output);
  const int blocks = num_blocks(call.num_sms);
  require((call.out != nullptr || handle.num_tokens == 0) && is_aligned(call.out),
          "out must be given, aligned to 16 bytes");
  require(is_aligned(call.bias0) && is_aligned(call.bias1), "biases must be aligned to 16 bytes");
  require(call.bias1 == nullptr || call.bias0 != nullptr, "bias1 must come with bias0");
  OutputsParams outputs = {};
  outputs.view = view(call.timeout_nanos);
  outputs.words =
      combine_words(handle, call.hidden, call.out_weights != nullptr, call.weighted != 0);
  outputs.handle_id = handle_view(call.handle).id;
  outputs.sent_rows = handle_view(call.handle).sent_rows;
  outputs.output = call.output;
  PullParams pull = {};
  pull.view = outputs.view;
  pull.handle = handle_view(call.handle);
  pull.bias0 = static_cast<const char*>(call.bias0);
  pull.bias1 = static_cast<const char*>(call.bias1);
  pull.out = static_cast<char*>(call.out);
  pull.out_weights = call.out_weights;
  pull.num_tokens = handle.num_tokens;
  pull.row_bytes = 2 * call.hidden;
  pull.num_topk = handle.num_topk;
  pull.fanout = handle.rank_major ? config_.num_ranks : handle.num_topk;
  pull.rank_major = handle.rank_major;
  pull.weighted = call.weighted;
  pull.shape = pull_shape(pull.row_bytes, bulk_, limits_.shared_bytes);
  Call bracket(*this, stream);
  check(launch_await_outputs(outputs, on(stream)), "launching the wait for outputs");
  if (internode_ != nullptr) {
    sum_across(call, state.owes, stream);
  } else {
    check(launch_combine_pull(pull, bulk_, blocks, on(stream)), "launching the sum");
  }
  bracket.finish();
  state.pending = false;
  state.owes = false;
}

}  // namespace ep4j
