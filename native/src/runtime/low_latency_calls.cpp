// Low-latency calls: arguments are checked, parameters made, kernels issued.
#include "device/numeric/fp8_scale.hpp"
#include "launch/low_latency_budget.hpp"
#include "runtime/call.hpp"

namespace ep4j {
namespace {

CallWords dispatch_words(const ep4j_low_latency_dispatch_call& call, const MessageForm& form) {
  const bool cast = call.cast != EP4J_CAST_NONE;
  return {head({static_cast<uint64_t>(Operation::kLowLatencyDispatch), EP4J_EXPERT_MAJOR, 0,
                static_cast<uint64_t>(cast ? EP4J_FP8_E4M3 : EP4J_BF16),
                static_cast<uint64_t>(call.cast), static_cast<uint64_t>(call.index_bytes)}),
          pair(form.row_bytes, form.scale_words), pair(call.num_topk, 1), 0};
}

// The handle is known on the device. LogFMT-10 has the place of "weighted".
CallWords combine_words(const ep4j_low_latency_combine_call& call, int row_bytes, int num_topk) {
  return {head({static_cast<uint64_t>(Operation::kLowLatencyCombine), EP4J_EXPERT_MAJOR, 0,
                EP4J_BF16, 0, 0, 0, static_cast<uint64_t>(call.log_fmt != 0)}),
          pair(row_bytes, 0), pair(num_topk, 1), 0};
}

MessageForm message_form(int hidden, int cast) {
  return cast == EP4J_CAST_NONE ? MessageForm{2 * hidden, 0}
                                : MessageForm{hidden, fp8_scale_words(hidden, cast)};
}

}  // namespace

LowLatency& Buffer::low_latency() const {
  require(low_latency_ != nullptr, "the buffer must be made with low-latency mode, and it is not");
  require_connected();
  return *low_latency_;
}

LowLatencyRegion& Buffer::low_latency_region(int region) const {
  const LowLatency& low = low_latency();
  require(region >= 0 && region < low.config.num_regions, "region must be from 0 to ",
          low.config.num_regions - 1, ": ", region);
  return low.regions[static_cast<size_t>(region)];
}

LowLatencyOutput& Buffer::low_latency_output(int output) const {
  LowLatency& low = low_latency();
  require(output >= 0 && output < low.config.num_outputs, "output must be from 0 to ",
          low.config.num_outputs - 1, ": ", output);
  return low.outputs[output];
}

char* Buffer::low_latency_memory(int64_t offset) const {
  return window_->get() + layout_.low_latency() + offset;
}

LowLatencyView Buffer::low_latency_view(int region, int64_t timeout_nanos) const {
  const LowLatency& low = low_latency();
  auto ints = [&](int64_t offset) { return reinterpret_cast<int32_t*>(low.memory.get() + offset); };
  LowLatencyView result = {};
  result.rank = view(timeout_nanos);
  result.rank.is_low_latency = 1;
  result.layout = low.layout;
  result.base = layout_.low_latency();
  result.state = low.state();
  result.experts = ints(low.state_layout.experts(region));
  result.ordinals = ints(low.state_layout.ordinals(region));
  result.begins = ints(low.state_layout.begins(region));
  result.counts = ints(low.state_layout.counts(region));
  return result;
}

int Buffer::low_latency_blocks(int num_sms) const {
  low_latency();
  const int most = presence_->low_latency_blocks(limits_.num_sms);
  require(num_sms >= 0 && num_sms <= most && most > 0,
          "num_sms of a low-latency call must be at most ", most,
          ", so that the blocks of all calls on the device that may wait for each other are "
          "resident at once: ",
          num_sms);
  return num_sms > 0 ? num_sms : most;
}

void Buffer::finish_low_latency(Call& call, int blocks) const {
  if (call.capturing()) {
    presence_->keep(blocks);
  }
  call.finish();
}

void Buffer::check_low_latency(const ep4j_low_latency_dispatch_call& call) const {
  const LowLatency& low = low_latency();
  require(call.num_tokens >= 0 && call.num_tokens <= low.config.max_tokens,
          "num_tokens must be from 0 to ", low.config.max_tokens, ": ", call.num_tokens);
  require(call.num_topk >= 1 && call.num_topk <= config_.max_topk, "num_topk must be from 1 to ",
          config_.max_topk, ": ", call.num_topk);
  require(call.index_bytes == 4 || call.index_bytes == 8,
          "index_bytes must be 4 or 8: ", call.index_bytes);
  require(call.cast >= EP4J_CAST_NONE && call.cast <= EP4J_CAST_UE8M0,
          "cast must be an ep4j_cast: ", call.cast);
  require(call.cast == EP4J_CAST_NONE || low.config.hidden % kFp8GroupChannels == 0,
          "the cast needs a hidden that is a multiple of ", kFp8GroupChannels, ": ",
          low.config.hidden);
  require((call.x != nullptr && call.topk_idx != nullptr) || call.num_tokens == 0,
          "x and topk_idx must be given");
  require(is_aligned(call.x), "x must be aligned to 16 bytes");
  require(call.timeout_nanos > 0, "timeout_nanos must be positive: ", call.timeout_nanos);
  require(!low_latency_region(call.region).open, "region must be free: the result in ",
          call.region, " was not released");
  if (call.output != -1) {
    const LowLatencyOutput& output = low_latency_output(call.output);
    require(!output.pending, "output must be free: the combine in ", call.output,
            " was not received");
  }
  for (int i = 0; i < low.config.num_regions; i++) {
    const LowLatencyRegion& other = low.regions[static_cast<size_t>(i)];
    const uint64_t inboxes = static_cast<uint64_t>(low.config.num_inboxes);
    require(!other.open || other.received || other.ordinal + inboxes > low.dispatches,
            "the dispatch in region ", i, ", ", inboxes,
            " before this one, must be received first");
  }
}

void Buffer::low_latency_dispatch(const ep4j_low_latency_dispatch_call& call,
                                  ep4j_low_latency_result& result, cudaStream_t stream) {
  LowLatency& low = low_latency();
  check_low_latency(call);
  const int blocks = low_latency_blocks(call.num_sms);
  LowLatencyRegion& region = low_latency_region(call.region);
  LowLatencyDispatchParams params = {};
  params.view = low_latency_view(call.region, call.timeout_nanos);
  params.form = message_form(low.config.hidden, call.cast);
  params.words = dispatch_words(call, params.form);
  params.x = static_cast<const char*>(call.x);
  params.topk_idx = call.topk_idx;
  params.wait_nanos = call.wait_nanos;
  params.receive_stats = call.receive_stats;
  params.source_row_bytes = 2 * low.config.hidden;
  params.num_tokens = call.num_tokens;
  params.num_topk = call.num_topk;
  params.index_bytes = call.index_bytes;
  params.cast = call.cast;
  params.region = call.region;
  params.output = call.output;
  params.phases = call.hook != 0 ? kSendPhase : kSendPhase | kReceivePhase;
  params.shape =
      low_latency_shape(params.form, config_.num_experts, bulk_, limits_.shared_bytes);
  Call bracket(*this, stream);
  if (call.hook == 0 && region.has_readers) {
    bracket.wait_for(region.released.get());
  }
  check(launch_low_latency_dispatch(params, bulk_, blocks, on(stream)),
        "launching the low-latency dispatch");
  finish_low_latency(bracket, blocks);
  region.open = true;
  region.received = call.hook == 0;
  region.ordinal = low.dispatches++;
  region.params = params;
  if (call.output != -1) {
    low_latency_output(call.output).handed_out = true;
  }
  char* base = low_latency_memory(low.layout.region(call.region));
  result.x = base + low.layout.x();
  result.scales = params.form.scale_words > 0 ? base + low.layout.scales() : nullptr;
  result.count = reinterpret_cast<int32_t*>(base + low.layout.count());
  result.source_info = reinterpret_cast<int32_t*>(base + low.layout.source_info());
  result.layout_range = reinterpret_cast<int64_t*>(base + low.layout.layout_range());
  result.y = call.output == -1
                 ? nullptr
                 : low_latency_memory(low.layout.output(call.output) + low.layout.y());
}

void Buffer::low_latency_dispatch_receive(int index, int num_sms, int64_t timeout_nanos,
                                          cudaStream_t stream) {
  LowLatencyRegion& region = low_latency_region(index);
  require(region.open && !region.received, "region must hold a dispatch that was not received: ",
          index);
  const int blocks = low_latency_blocks(num_sms);
  LowLatencyDispatchParams params = region.params;
  params.view = low_latency_view(index, timeout_nanos);
  params.phases = kReceivePhase;
  Call bracket(*this, stream);
  if (region.has_readers) {
    bracket.wait_for(region.released.get());
  }
  check(launch_low_latency_dispatch(params, bulk_, blocks, on(stream)),
        "launching the low-latency receive");
  finish_low_latency(bracket, blocks);
  region.received = true;
}

void Buffer::low_latency_release(int index, cudaStream_t stream) {
  LowLatencyRegion& region = low_latency_region(index);
  require(region.open && region.received, "region must hold a received result: ", index);
  Call bracket(*this, stream);
  if (!bracket.capturing()) {
    check(cudaEventRecord(region.released.get(), stream), "recording a region's readers");
    region.has_readers = true;
  }
  bracket.finish();
  region.open = false;
}

void* Buffer::low_latency_combine_input(int index, int64_t timeout_nanos, cudaStream_t stream) {
  const LowLatency& low = low_latency();
  LowLatencyOutput& output = low_latency_output(index);
  require(!output.pending, "output must be free: the combine in ", index, " was not received");
  if (!output.handed_out) {
    Call bracket(*this, stream);
    check(launch_await_empty_output({low_latency_view(0, timeout_nanos), index}, stream),
          "launching the wait for readers");
    bracket.finish();
    output.handed_out = true;
  }
  return low_latency_memory(low.layout.output(index) + low.layout.y());
}

void Buffer::check_low_latency(const ep4j_low_latency_combine_call& call) const {
  const LowLatency& low = low_latency();
  const LowLatencyRegion& region = low_latency_region(call.region);
  require(region.open && region.received, "region must hold a received result: ", call.region);
  const LowLatencyOutput& output = low_latency_output(call.output);
  require(!output.pending, "output must be free: the combine in ", call.output,
          " was not received");
  const bool has_tokens = region.params.num_tokens > 0;
  require(call.y != nullptr && is_aligned(call.y), "y must be given, aligned to 16 bytes");
  require(call.y != low_latency_memory(low.layout.output(call.output)) || output.handed_out,
          "y in an output must come from the dispatch or from ep4j_low_latency_combine_input, once "
          "per combine");
  require(!has_tokens || (call.out != nullptr && is_aligned(call.out)),
          "out must be given, aligned to 16 bytes");
  require(!has_tokens || call.topk_weights != nullptr, "topk_weights must be given");
  require(call.log_fmt == 0 || low.config.hidden % kLogFmtSmallChunk == 0,
          "LogFMT-10 needs a hidden that is a multiple of ", kLogFmtSmallChunk, ": ",
          low.config.hidden);
  require(call.timeout_nanos > 0, "timeout_nanos must be positive: ", call.timeout_nanos);
  for (int i = 0; i < low.config.num_outputs; i++) {
    const uint64_t outputs = static_cast<uint64_t>(low.config.num_outputs);
    require(!low.outputs[i].pending || low.outputs[i].ordinal + outputs > low.combines,
            "the combine in output ", i, ", ", outputs,
            " before this one, must be received first");
  }
}

void Buffer::low_latency_combine(const ep4j_low_latency_combine_call& call, cudaStream_t stream) {
  LowLatency& low = low_latency();
  check_low_latency(call);
  const LowLatencyRegion& region = low_latency_region(call.region);
  LowLatencyOutput& output = low_latency_output(call.output);
  const bool in_place = call.y == low_latency_memory(low.layout.output(call.output));
  const int blocks = low_latency_blocks(call.num_sms);
  LowLatencyCombineParams params = {};
  params.view = low_latency_view(call.region, call.timeout_nanos);
  params.row_bytes = 2 * low.config.hidden;
  params.num_tokens = region.params.num_tokens;
  params.num_topk = region.params.num_topk;
  params.words = combine_words(call, params.row_bytes, params.num_topk);
  params.y = in_place ? nullptr : static_cast<const char*>(call.y);
  params.weights = call.topk_weights;
  params.out = static_cast<char*>(call.out);
  params.region = call.region;
  params.output = call.output;
  params.log_fmt = call.log_fmt != 0;
  params.pushes = has_far_ranks_;
  params.phases = call.hook != 0 ? kSendPhase : kSendPhase | kReceivePhase;
  const int units = low.config.hidden / (params.log_fmt != 0 ? 16 : 8);
  params.parts_per_token = low_latency_parts(params.num_tokens, blocks, units);
  // A sending half that only publishes has nothing to share out.
  const bool one_block = call.hook != 0 && !params.moves_rows();
  Call bracket(*this, stream);
  check(launch_low_latency_combine(params, one_block ? 1 : blocks, on(stream)),
        "launching the low-latency combine");
  finish_low_latency(bracket, blocks);
  output.handed_out = false;
  output.pending = call.hook != 0;
  output.ordinal = low.combines++;
  output.params = params;
}

void Buffer::low_latency_combine_receive(int index, int num_sms, int64_t timeout_nanos,
                                         cudaStream_t stream) {
  LowLatencyOutput& output = low_latency_output(index);
  require(output.pending, "output must hold a combine that was not received: ", index);
  const int blocks = low_latency_blocks(num_sms);
  LowLatencyCombineParams params = output.params;
  params.view = low_latency_view(params.region, timeout_nanos);
  params.phases = kReceivePhase;
  Call bracket(*this, stream);
  check(launch_low_latency_combine(params, blocks, on(stream)),
        "launching the low-latency receive");
  finish_low_latency(bracket, blocks);
  output.pending = false;
}

}  // namespace ep4j
