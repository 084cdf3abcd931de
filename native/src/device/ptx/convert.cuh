// Number conversions that the device has an instruction for, bit for bit those of device/numeric.
#pragma once

#include <cstdint>

#include "device/numeric/bf16.hpp"
#include "device/numeric/e4m3.hpp"

namespace ep4j::ptx {

// Codes of two values, the first in the low byte.
__device__ __forceinline__ uint32_t e4m3_pair(float low, float high) {
#if __CUDA_ARCH__ >= 890
  uint16_t codes;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(codes) : "f"(high), "f"(low));
  return codes;
#else
  return e4m3_from_float(low) | e4m3_from_float(high) << 8;
#endif
}

// BF16 of two values, the first in the low half.
__device__ __forceinline__ uint32_t bf16_pair(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// The larger of the BF16 values in either half; of a NaN and a number, the number.
__device__ __forceinline__ uint32_t max_bf16_pair(uint32_t a, uint32_t b) {
  uint32_t larger;
  asm("max.bf16x2 %0, %1, %2;" : "=r"(larger) : "r"(a), "r"(b));
  return larger;
}

}  // namespace ep4j::ptx
