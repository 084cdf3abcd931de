// Casts BF16 channels to E4M3, half a warp to a group of 128 channels, 8 channels to a lane.
#pragma once

#include "device/numeric/fp8_scale.hpp"
#include "device/ptx/convert.cuh"
#include "device/sync/warp.cuh"

namespace ep4j {

constexpr int kLanesPerGroup = 16;
constexpr int kGroupsPerPass = kWarpLanes / kLanesPerGroup;
constexpr int kSourceGroupBytes = 2 * kFp8GroupChannels;

// One lane's codes, and its group's scale.
struct CastVector {
  uint2 codes;
  uint32_t scale_bits;
};

// Largest magnitude of eight BF16 values as bits, NaN left out.
__device__ __forceinline__ uint32_t largest_magnitude(const uint4& values) {
  const uint32_t words[4] = {values.x, values.y, values.z, values.w};
  uint32_t largest = 0;
#pragma unroll
  for (uint32_t word : words) {
    uint32_t low = word & kBf16MagnitudeMask;
    uint32_t high = word >> 16 & kBf16MagnitudeMask;
    largest = max(largest, low > kBf16Infinity ? 0u : low);
    largest = max(largest, high > kBf16Infinity ? 0u : high);
  }
  return largest;
}

// All lanes of the warp; lanes without a group pass zeros.
__device__ __forceinline__ CastVector cast_vector(const uint4& values, int cast) {
  uint32_t amax = largest_magnitude(values);
  for (int distance = 1; distance < kLanesPerGroup; distance *= 2) {
    amax = max(amax, __shfl_xor_sync(kAllLanes, amax, distance));
  }
  const Fp8Scale scale = fp8_scale(amax, cast);
  if (scale.is_infinite) {
    constexpr uint32_t kNans = kE4m3Nan * 0x01010101u;
    return {{kNans, kNans}, scale.bits};
  }
  const uint32_t words[4] = {values.x, values.y, values.z, values.w};
  uint32_t pairs[4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    pairs[i] = ptx::e4m3_pair(bf16_to_float(words[i] & 0xFFFF) * scale.multiplier,
                              bf16_to_float(words[i] >> 16) * scale.multiplier);
  }
  return {{pairs[0] | pairs[1] << 16, pairs[2] | pairs[3] << 16}, scale.bits};
}

// Casts the bytes of a chunk, passing each lane's codes on: put(byte offset of its 8 codes, codes).
// Scales go to the warp's scratch in shared memory, one word per group.
template <class Put>
__device__ __forceinline__ void cast_chunk(const char* source, int bytes, int cast,
                                           uint32_t* scratch, Put put) {
  const int lane = lane_index();
  for (int first = 0; first < bytes; first += kGroupsPerPass * kSourceGroupBytes) {
    int offset = first + lane * static_cast<int>(sizeof(uint4));
    bool there = offset < bytes;
    uint4 values = there ? *reinterpret_cast<const uint4*>(source + offset) : uint4{0, 0, 0, 0};
    CastVector result = cast_vector(values, cast);
    if (there && lane % kLanesPerGroup == 0) {
      scratch[offset / kSourceGroupBytes] = result.scale_bits;
    }
    put(offset / 2, there, result.codes);
  }
}

// The scale word that a chunk's scratch gives: a scale, or four exponents packed.
__device__ __forceinline__ uint32_t scale_word(const uint32_t* scratch, int groups, int word,
                                               int cast) {
  if (cast != EP4J_CAST_UE8M0) {
    return scratch[word];
  }
  uint32_t pack = 0;
  for (int i = 0; i < 4 && 4 * word + i < groups; i++) {
    pack |= scratch[4 * word + i] >> kFloatFractionBits << (8 * i);
  }
  return pack;
}

}  // namespace ep4j
