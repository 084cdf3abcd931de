// The low-latency part of a buffer, as its host remembers it.
#pragma once

#include <memory>

#include "kernels/low_latency/combine.hpp"
#include "kernels/low_latency/dispatch.hpp"
#include "runtime/device.hpp"
#include "runtime/memory.hpp"

namespace ep4j {

// Refuses a configuration that breaks a rule.
const ep4j_low_latency_config& checked(const ep4j_low_latency_config& config);

// This rank's private part; empty without a configuration.
LowLatencyStateLayout low_latency_state_layout(const ep4j_low_latency_config* config,
                                               const ep4j_buffer_config& buffer);

// Where everything lies; empty without a configuration.
LowLatencyLayout low_latency_layout(const ep4j_low_latency_config* config, int num_ranks,
                                    int num_experts, bool has_network);

// A dispatch result.
struct LowLatencyRegion {
  bool open = false;
  bool received = false;     // its receiving half was issued
  bool has_readers = false;  // released marks the end of the last result's readers
  uint64_t ordinal = 0;      // of the dispatch, among this rank's
  LowLatencyDispatchParams params = {};
  Event released;
};

// A combine under way.
struct LowLatencyOutput {
  bool handed_out = false;  // to be written in place
  bool pending = false;     // sent, and not received
  uint64_t ordinal = 0;     // of the combine, among this rank's
  LowLatencyCombineParams params = {};
};

struct LowLatency {
  LowLatency(const ep4j_low_latency_config& config, const ep4j_buffer_config& buffer,
             const DeviceLimits& limits, bool bulk, bool has_network);

  const ep4j_low_latency_config config;
  const LowLatencyLayout layout;
  const LowLatencyStateLayout state_layout;
  DeviceMemory memory;
  std::unique_ptr<LowLatencyRegion[]> regions;
  LowLatencyOutput outputs[kMaxLowLatency];
  uint64_t dispatches = 0;
  uint64_t combines = 0;

  LowLatencyState* state() const {
    return reinterpret_cast<LowLatencyState*>(memory.get() + state_layout.state());
  }
};

}  // namespace ep4j
