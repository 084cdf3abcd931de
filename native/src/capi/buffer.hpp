// What the C ABI's opaque buffer is.
#pragma once

#include "ep4j.h"
#include "runtime/buffer.hpp"

struct ep4j_buffer {
  ep4j_buffer(const ep4j_buffer_config& config, const ep4j_low_latency_config* low_latency,
              const ep4j::Transport& transport,
              const ep4j_internode_config* internode = nullptr)
      : end(config, low_latency, transport, internode) {}
  ep4j::Buffer end;
  int device = 0;
};

namespace ep4j {

// For the caller to delete; NO_DEVICE before anything else.
inline ep4j_buffer* make_buffer(const ep4j_buffer_config& config,
                                const ep4j_low_latency_config* low_latency,
                                const Transport& transport,
                                const ep4j_internode_config* internode = nullptr) {
  device_count();
  DeviceScope scope(config.device);
  auto made = std::make_unique<ep4j_buffer>(config, low_latency, transport, internode);
  made->device = config.device;
  return made.release();
}

}  // namespace ep4j
