// E4M3 (OCP 8-bit floating point): sign, 4 exponent bits with bias 7, 3 fraction bits; no infinity,
// one NaN per sign, largest value 448.
//
// Encoding lets the float adder round: E4M3 values between 2^e and 2^(e+1) are 2^(e-3) apart, and
// so are floats between 2^(e+20) and 2^(e+21). Adding 2^(e+20) to |x| rounds it to E4M3's grid, to
// nearest even, and leaves the number of grid steps in the sum's low bits. Values below 2^-6 use
// the grid of e = -6, where the step count is the code itself.
#pragma once

#include "device/numeric/bits.hpp"

namespace ep4j {

constexpr float kE4m3Max = 448.0f;
constexpr uint32_t kE4m3MaxBits = 0x43E00000;  // of kE4m3Max
constexpr uint32_t kE4m3Nan = 0x7F;

// The nearest code, ties to even, saturating to 448; a NaN becomes 0x7F.
EP4J_HOST_DEVICE inline uint32_t e4m3_from_float(float value) {
  constexpr uint32_t kSmallestNormalExponent = 127 - 6;
  constexpr uint32_t kDroppedBits = 20;
  uint32_t bits = bits_of_float(value);
  uint32_t magnitude = bits & kFloatMagnitudeMask;
  uint32_t clamped = magnitude < kE4m3MaxBits ? magnitude : kE4m3MaxBits;
  uint32_t exponent = clamped >> kFloatFractionBits;
  exponent = exponent > kSmallestNormalExponent ? exponent : kSmallestNormalExponent;
  uint32_t grid = (exponent + kDroppedBits) << kFloatFractionBits;
  float sum = float_of_bits(clamped) + float_of_bits(grid);
  uint32_t code = ((exponent - kSmallestNormalExponent) << 3) + (bits_of_float(sum) - grid);
  return magnitude > kFloatInfinity ? kE4m3Nan : code | (bits >> 24 & 0x80);
}

}  // namespace ep4j
