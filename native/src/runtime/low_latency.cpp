#include "runtime/low_latency.hpp"

#include <cstddef>

#include "launch/low_latency_budget.hpp"
#include "layout/limits.hpp"

namespace ep4j {
namespace {

void require_count(const char* name, int value) {
  require(value >= 1 && value <= kMaxLowLatency, name, " must be from 1 to ", kMaxLowLatency, ": ",
          value);
}

}  // namespace

const ep4j_low_latency_config& checked(const ep4j_low_latency_config& config) {
  require(config.max_tokens >= 1, "low-latency max_tokens must be at least 1: ",
          config.max_tokens);
  require(config.hidden >= 8 && config.hidden % 8 == 0,
          "low-latency hidden must be a positive multiple of 8, that is of 16 bytes: ",
          config.hidden);
  require_count("num_inboxes", config.num_inboxes);
  require_count("low-latency num_regions", config.num_regions);
  require_count("low-latency num_outputs", config.num_outputs);
  return config;
}

LowLatencyLayout low_latency_layout(const ep4j_low_latency_config* config, int num_ranks,
                                    int num_experts, bool has_network) {
  if (config == nullptr) {
    return {};
  }
  return {num_ranks,           num_experts / num_ranks, config->max_tokens, config->hidden,
          config->num_inboxes, config->num_regions,     config->num_outputs, has_network};
}

LowLatencyStateLayout low_latency_state_layout(const ep4j_low_latency_config* config,
                                               const ep4j_buffer_config& buffer) {
  return {buffer.num_ranks, buffer.num_experts / buffer.num_ranks,
          config == nullptr ? 0 : config->max_tokens, buffer.max_topk,
          config == nullptr ? 0 : config->num_regions};
}

LowLatency::LowLatency(const ep4j_low_latency_config& given, const ep4j_buffer_config& buffer,
                       const DeviceLimits& limits, bool bulk, bool has_network)
    : config(checked(given)),
      layout(low_latency_layout(&given, buffer.num_ranks, buffer.num_experts, has_network)),
      state_layout(low_latency_state_layout(&given, buffer)),
      memory(static_cast<size_t>(state_layout.bytes())),
      regions(std::make_unique<LowLatencyRegion[]>(static_cast<size_t>(layout.regions))) {
  const LowLatencyShape shape =
      low_latency_shape({2 * config.hidden, 0}, buffer.num_experts, bulk, limits.shared_bytes);
  require(shape.stages >= 2, "two rows of low-latency hidden ", config.hidden,
          " and the counts of num_experts ", buffer.num_experts, " must fit the ",
          limits.shared_bytes, " bytes of shared memory that a block may have");
  check(prepare_low_latency_dispatch(limits.shared_bytes - kLowLatencyTableBytes, bulk),
        "sizing the low-latency dispatch");
  check(load_low_latency_combine(), "loading the low-latency combine");
  check(cudaMemset(memory.get(), 0, static_cast<size_t>(state_layout.bytes())),
        "clearing low-latency memory");
  static_assert(BadChoice::kNone == ~uint64_t{0});
  check(cudaMemset(&state()->bad_choice, 0xFF, sizeof(uint64_t)), "clearing the bad choice");
}

}  // namespace ep4j
