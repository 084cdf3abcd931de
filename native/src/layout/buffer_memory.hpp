// All memory that one rank's end of a buffer takes but for low latency's private part, from its
// configuration alone.
//
//   window   device memory that peers address: WindowLayout
//   local    device memory of this rank alone: LocalLayout
//   handles  device memory of this rank alone: [max_handles] HandleLayout
//   pinned   host memory that the device writes to: PinnedLayout
#pragma once

#include "layout/handle_layout.hpp"
#include "layout/local_layout.hpp"
#include "layout/pinned_layout.hpp"
#include "layout/window_layout.hpp"

namespace ep4j {

struct BufferMemory {
  WindowLayout window;
  LocalLayout local;
  HandleLayout handle;
  PinnedLayout pinned;
  int max_handles;

  constexpr explicit BufferMemory(const ep4j_buffer_config& config, int64_t low_latency_bytes = 0,
                                  bool has_network = false, int64_t internode_bytes = 0)
      : window{{config.num_ranks, config.num_experts / config.num_ranks, config.num_regions,
                config.num_outputs},
               config.region_bytes,
               config.output_bytes,
               config.arena_bytes,
               low_latency_bytes,
               has_network,
               internode_bytes},
        local{config.num_experts},
        handle{config.max_tokens, config.max_topk, config.num_ranks,
               config.num_experts / config.num_ranks},
        pinned{config.num_experts / config.num_ranks},
        max_handles(config.max_handles) {}

  // Of the window.
  constexpr int64_t control_bytes() const { return window.low_latency(); }
  constexpr int64_t low_latency_bytes() const { return window.region(0) - window.low_latency(); }
  constexpr int64_t dispatch_bytes() const {
    return window.output(0) - window.region(0) + lines(window.arena_bytes);
  }
  constexpr int64_t combine_bytes() const { return window.arena() - window.output(0); }

  constexpr int64_t handle_bytes() const { return handle.bytes() * max_handles; }
};

}  // namespace ep4j
