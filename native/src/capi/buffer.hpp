// What the C ABI's opaque buffer is.
#pragma once

#include "ep4j.h"
#include "runtime/buffer.hpp"

struct ep4j_buffer {
  ep4j_buffer(const ep4j_buffer_config& config, const ep4j_low_latency_config* low_latency)
      : end(config, low_latency) {}
  ep4j::Buffer end;
  int device = 0;
};
