// The scale of a group of 128 channels, from the largest magnitude in it. All arithmetic is
// float32, in this order, because other orders differ in the last bit.
#pragma once

#include "device/numeric/bf16.hpp"
#include "device/numeric/e4m3.hpp"

namespace ep4j {

constexpr int kFp8GroupChannels = 128;

struct Fp8Scale {
  uint32_t bits;     // of the float32 scale that dequantises
  float multiplier;  // that values are multiplied by before they are encoded
  bool is_infinite;  // an infinity is in the group: every code is NaN
};

// cast is an ep4j_cast other than NONE; amax_bits are BF16 bits, NaN left out.
EP4J_HOST_DEVICE inline Fp8Scale fp8_scale(uint32_t amax_bits, int cast) {
  constexpr float kSmallestAmax = 1e-4f;  // so that an all-zero group has a scale to divide by
  constexpr float kInverseMax = 1.0f / kE4m3Max;
  constexpr uint32_t kFractionMask = (1u << kFloatFractionBits) - 1;
  constexpr uint32_t kExponentSum = 2 * 127;  // biased exponents of 2^e and 2^-e
  if (amax_bits == kBf16Infinity) {
    return {kFloatInfinity, 0.0f, true};
  }
  float amax = bf16_to_float(amax_bits);
  amax = amax > kSmallestAmax ? amax : kSmallestAmax;
  uint32_t scale_bits = bits_of_float(amax * kInverseMax);
  if (cast == EP4J_CAST_PLAIN) {
    return {scale_bits, kE4m3Max / amax, false};
  }
  // Up to the next power of two, unless it is one.
  uint32_t exponent = (scale_bits + kFractionMask) >> kFloatFractionBits;
  return {exponent << kFloatFractionBits,
          float_of_bits((kExponentSum - exponent) << kFloatFractionBits), false};
}

// Scale words of groups that are cast, and of a row.
EP4J_HOST_DEVICE constexpr int scale_words_of(int groups, int cast) {
  return cast == EP4J_CAST_UE8M0 ? (groups + 3) / 4 : groups;
}
EP4J_HOST_DEVICE constexpr int fp8_scale_words(int hidden, int cast) {
  return scale_words_of(hidden / kFp8GroupChannels, cast);
}

}  // namespace ep4j
