// BF16: the upper 16 bits of a float32. Narrowing rounds to nearest even in integer arithmetic; a
// NaN becomes 0x7FFF.
#pragma once

#include <cstdint>

#include "device/numeric/bits.hpp"
#include "layout/limits.hpp"

namespace ep4j {

constexpr uint32_t kBf16Nan = 0x7FFF;
constexpr uint32_t kBf16MagnitudeMask = 0x7FFF;
constexpr uint32_t kBf16Infinity = 0x7F80;

EP4J_HOST_DEVICE inline float bf16_to_float(uint32_t bf16) { return float_of_bits(bf16 << 16); }

EP4J_HOST_DEVICE inline uint32_t bf16_from_float(float value) {
  uint32_t bits = bits_of_float(value);
  // Half a unit of the last kept bit, less one if that bit is even: carries exactly when rounding
  // goes up.
  uint32_t rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  return (bits & kFloatMagnitudeMask) > kFloatInfinity ? kBf16Nan : rounded;
}

}  // namespace ep4j
