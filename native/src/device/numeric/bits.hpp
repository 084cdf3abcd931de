// Floats and their bits, on host and device.
#pragma once

#include <cstdint>
#include <cstring>

#include "layout/limits.hpp"

namespace ep4j {

constexpr uint32_t kFloatMagnitudeMask = 0x7FFFFFFF;
constexpr uint32_t kFloatInfinity = 0x7F800000;
constexpr int kFloatFractionBits = 23;

EP4J_HOST_DEVICE inline float float_of_bits(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#else
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
#endif
}

EP4J_HOST_DEVICE inline uint32_t bits_of_float(float value) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(value);
#else
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
#endif
}

}  // namespace ep4j
