// Number conversions of a host.
#pragma once

#include <cstdint>

#include "device/numeric/bf16.hpp"
#include "device/numeric/e4m3.hpp"

namespace ep4j::ptx {

inline uint32_t e4m3_pair(float low, float high) {
  return e4m3_from_float(low) | e4m3_from_float(high) << 8;
}

inline uint32_t bf16_pair(float low, float high) {
  return bf16_from_float(low) | bf16_from_float(high) << 16;
}

// Of magnitudes: bits order them.
inline uint32_t max_bf16_pair(uint32_t a, uint32_t b) {
  auto larger = [](uint32_t one, uint32_t other) {
    one = one > kBf16Infinity ? 0 : one;
    other = other > kBf16Infinity ? 0 : other;
    return one > other ? one : other;
  };
  return larger(a & 0xFFFF, b & 0xFFFF) | larger(a >> 16, b >> 16) << 16;
}

}  // namespace ep4j::ptx
