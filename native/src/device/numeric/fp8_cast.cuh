// Casts BF16 channels to E4M3. The lanes of a group of 128 channels find its largest magnitude
// together; the fewer they are, the less each group costs.
#pragma once

#include "device/numeric/fp8_scale.hpp"
#include "device/ptx/convert.cuh"
#include "device/sync/warp.cuh"

namespace ep4j {

constexpr int kSourceGroupBytes = 2 * kFp8GroupChannels;
constexpr int kGroupVectors = kSourceGroupBytes / static_cast<int>(sizeof(uint4));

// Largest magnitude of BF16 values as bits, NaN left out.
template <int kVectors>
__device__ __forceinline__ uint32_t largest_magnitude(const uint4 (&values)[kVectors]) {
  constexpr uint32_t kMagnitudes = kBf16MagnitudeMask << 16 | kBf16MagnitudeMask;
  uint32_t largest = 0;  // of the low and of the high halves
#pragma unroll
  for (const uint4& value : values) {
    for (uint32_t word : {value.x, value.y, value.z, value.w}) {
      largest = ptx::max_bf16_pair(largest, word & kMagnitudes);
    }
  }
  return max(largest & 0xFFFF, largest >> 16);
}

// Codes of a lane's values; returns their group's scale. All lanes of the warp, kGroupVectors /
// kVectors of them to a group; lanes without a group pass zeros.
template <int kVectors>
__device__ __forceinline__ uint32_t cast_vectors(const uint4 (&values)[kVectors], int cast,
                                                 uint2 (&codes)[kVectors]) {
  uint32_t amax = largest_magnitude(values);
#pragma unroll
  for (int distance = 1; distance < kGroupVectors / kVectors; distance *= 2) {
    amax = max(amax, __shfl_xor_sync(kAllLanes, amax, distance));
  }
  const Fp8Scale scale = fp8_scale(amax, cast);
#pragma unroll
  for (int v = 0; v < kVectors; v++) {
    const uint32_t words[4] = {values[v].x, values[v].y, values[v].z, values[v].w};
    uint32_t pairs[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      pairs[i] = ptx::e4m3_pair(bf16_to_float(words[i] & 0xFFFF) * scale.multiplier,
                                bf16_to_float(words[i] >> 16) * scale.multiplier);
    }
    constexpr uint32_t kNans = kE4m3Nan * 0x01010101u;
    codes[v] = scale.is_infinite ? uint2{kNans, kNans}
                                 : uint2{pairs[0] | pairs[1] << 16, pairs[2] | pairs[3] << 16};
  }
  return scale.bits;
}

// Codes of a lane of a chunk's cast: eight codes each at some byte offsets.
struct LaneCodes {
  static constexpr int kVectors = 4;

  bool there;  // if not, there are none
  int offsets[kVectors];
  uint2 codes[kVectors];

  __device__ __forceinline__ void store(char* chunk) const {
#pragma unroll
    for (int i = 0; there && i < kVectors; i++) {
      *reinterpret_cast<uint2*>(chunk + offsets[i]) = codes[i];
    }
  }

  // To a place of each of some lanes. All lanes.
  __device__ __forceinline__ void spread(uint64_t place, uint32_t lanes) const {
    for_each_lane(lanes, [&](int lane) {
      store(reinterpret_cast<char*>(__shfl_sync(kAllLanes, place, lane)));
    });
  }
};

// Casts the bytes of a chunk, a multiple of a group, four lanes to a group. Passes each lane's codes
// on: put(codes), called by all lanes once they have read what the codes are of. Scales go to the
// warp's scratch in shared memory, one word per group.
template <class Put>
__device__ __forceinline__ void cast_chunk(const char* source, int bytes, int cast,
                                           uint32_t* scratch, Put put) {
  constexpr int kVectors = LaneCodes::kVectors;
  constexpr int kLanes = kGroupVectors / kVectors;
  const int lane = lane_index();
  const int group = lane / kLanes;
  for (int first = 0; first < bytes; first += kWarpLanes / kLanes * kSourceGroupBytes) {
    const int begin = first + group * kSourceGroupBytes;
    uint4 values[kVectors] = {};
    LaneCodes result;
    result.there = begin < bytes;
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
      // Groups take their vectors in different orders, so that lanes meet all banks.
      const int vector = lane % kLanes + kLanes * (i ^ group % kVectors);
      result.offsets[i] = begin / 2 + vector * static_cast<int>(sizeof(uint2));
      if (result.there) {
        values[i] = *reinterpret_cast<const uint4*>(source + 2 * result.offsets[i]);
      }
    }
    const uint32_t scale_bits = cast_vectors(values, cast, result.codes);
    if (result.there && lane % kLanes == 0) {
      scratch[begin / kSourceGroupBytes] = scale_bits;
    }
    __syncwarp();
    put(result);
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
