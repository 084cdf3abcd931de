// Sums of BF16 rows in float32, in registers: one warp, one chunk of one token at a time.
#pragma once

#include "device/numeric/bf16.hpp"
#include "device/ptx/convert.cuh"
#include "device/ptx/memory.cuh"
#include "device/sync/warp.cuh"
#include "layout/local_layout.hpp"

namespace ep4j {

// The rows of a token that are in this node, a lane each; the order of the lanes is the order of the
// sum.
struct RowsHere {
  const char* row;       // this lane's
  const float* weights;  // that come back with it
  float gate;            // that it is multiplied by
  uint32_t lanes;        // that have one
};

// A chunk's sum, before it is rounded. Lane l holds vectors l, l + 32, ... of the chunk.
class ChunkParts {
 public:
  static constexpr int kVectors = 4;
  static constexpr int kBytes = kVectors * kWarpLanes * kVectorBytes;

  __device__ ChunkParts() {
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
#pragma unroll
      for (int j = 0; j < kValues; j++) {
        sums_[i][j] = 0.0f;
      }
    }
  }

  __device__ void add(const char* chunk, int bytes) {
    uint4 vectors[kVectors];
    load(chunk, bytes, vectors);
    add_vectors<false>(vectors, 1.0f);
  }

  // Adds a chunk of a row, or its product with a weight in one rounding.
  template <bool kWeighted>
  __device__ void add_vectors(const uint4 (&vectors)[kVectors], float weight) {
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
      const uint32_t words[4] = {vectors[i].x, vectors[i].y, vectors[i].z, vectors[i].w};
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const float low = bf16_to_float(words[j] & 0xFFFF);
        const float high = bf16_to_float(words[j] >> 16);
        float& a = sums_[i][2 * j];
        float& b = sums_[i][2 * j + 1];
        a = kWeighted ? fmaf(weight, low, a) : a + low;
        b = kWeighted ? fmaf(weight, high, b) : b + high;
      }
    }
  }

  // Adds the sum of two chunks, that is rounded first.
  __device__ void add_pair(const char* first, const char* second, int bytes) {
    uint4 a[kVectors];
    uint4 b[kVectors];
    load(first, bytes, a);
    load(second, bytes, b);
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
      const uint32_t x[4] = {a[i].x, a[i].y, a[i].z, a[i].w};
      const uint32_t y[4] = {b[i].x, b[i].y, b[i].z, b[i].w};
#pragma unroll
      for (int j = 0; j < 4; j++) {
        sums_[i][2 * j] += bf16_to_float(x[j] & 0xFFFF) + bf16_to_float(y[j] & 0xFFFF);
        sums_[i][2 * j + 1] += bf16_to_float(x[j] >> 16) + bf16_to_float(y[j] >> 16);
      }
    }
  }

  // Rounds once, to BF16.
  __device__ void round(uint4 (&vectors)[kVectors]) const {
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
      const float* sum = sums_[i];
      vectors[i] = {ptx::bf16_pair(sum[0], sum[1]), ptx::bf16_pair(sum[2], sum[3]),
                    ptx::bf16_pair(sum[4], sum[5]), ptx::bf16_pair(sum[6], sum[7])};
    }
  }

  __device__ static void store(const uint4 (&vectors)[kVectors], char* chunk, int bytes) {
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
      if (place(i) < bytes) {
        *reinterpret_cast<uint4*>(chunk + place(i)) = vectors[i];
      }
    }
  }

  // For what the cache need not keep: messages and sums on their way need the room.
  __device__ static void store_once(const uint4 (&vectors)[kVectors], char* chunk, int bytes) {
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
      if (place(i) < bytes) {
        ptx::store_once(reinterpret_cast<uint4*>(chunk + place(i)), vectors[i]);
      }
    }
  }

  __device__ static void load_once(const char* chunk, int bytes, uint4 (&vectors)[kVectors]) {
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
      vectors[i] = place(i) < bytes
                       ? ptx::load_once(reinterpret_cast<const uint4*>(chunk + place(i)))
                       : uint4{0, 0, 0, 0};
    }
  }

  __device__ static void load(const char* chunk, int bytes, uint4 (&vectors)[kVectors]) {
#pragma unroll
    for (int i = 0; i < kVectors; i++) {
      vectors[i] = place(i) < bytes ? *reinterpret_cast<const uint4*>(chunk + place(i))
                                    : uint4{0, 0, 0, 0};
    }
  }

 private:
  static constexpr int kValues = 8;  // of a 16-byte vector

  __device__ static int place(int vector) {
    return (vector * kWarpLanes + lane_index()) * kVectorBytes;
  }

  float sums_[kVectors][kValues];
};

// Adds rows in order, two at a time on their way. All lanes of a warp.
template <bool kWeighted>
__device__ inline void add_pairs(const RowsHere& rows, int64_t begin, int bytes, ChunkParts& sum) {
  const uint64_t own = reinterpret_cast<uint64_t>(rows.row);
  for (uint32_t rest = rows.lanes; rest != 0;) {
    const int first = __ffs(static_cast<int>(rest)) - 1;
    rest &= rest - 1;
    const int second = rest != 0 ? __ffs(static_cast<int>(rest)) - 1 : first;
    uint4 a[ChunkParts::kVectors];
    uint4 b[ChunkParts::kVectors];
    ChunkParts::load_once(reinterpret_cast<const char*>(__shfl_sync(kAllLanes, own, first)) + begin,
                          bytes, a);
    ChunkParts::load_once(
        reinterpret_cast<const char*>(__shfl_sync(kAllLanes, own, second)) + begin,
        rest != 0 ? bytes : 0, b);
    const float gate_a = kWeighted ? __shfl_sync(kAllLanes, rows.gate, first) : 1.0f;
    const float gate_b = kWeighted ? __shfl_sync(kAllLanes, rows.gate, second) : 1.0f;
    sum.add_vectors<kWeighted>(a, gate_a);
    if (rest != 0) {
      sum.add_vectors<kWeighted>(b, gate_b);
      rest &= rest - 1;
    }
  }
}

// Rows on their way at a time. For sm_90 registers allow two in every kernel; elsewhere weights take
// what the second would need.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 900
template <bool>
constexpr int kRowsAtOnce = 2;
#else
template <bool kWeighted>
constexpr int kRowsAtOnce = kWeighted ? 1 : 2;
#endif

// A node's part of a token's chunk: its rows in order, rounded. All lanes of a warp.
template <bool kWeighted>
__device__ inline void sum_rows_here(const RowsHere& rows, int64_t begin, int bytes,
                                     uint4 (&rounded)[ChunkParts::kVectors]) {
  ChunkParts sum;
  if constexpr (kRowsAtOnce<kWeighted> == 1) {
    const uint64_t own = reinterpret_cast<uint64_t>(rows.row);
    for_each_lane(rows.lanes, [&](int lane) {
      const char* row = reinterpret_cast<const char*>(__shfl_sync(kAllLanes, own, lane));
      uint4 vectors[ChunkParts::kVectors];
      ChunkParts::load_once(row + begin, bytes, vectors);
      sum.add_vectors<kWeighted>(vectors, __shfl_sync(kAllLanes, rows.gate, lane));
    });
  } else {
    add_pairs<kWeighted>(rows, begin, bytes, sum);
  }
  sum.round(rounded);
}

// Lane k: the node's part of the weight that comes back for choice k. Rank-major: the sum of the
// rows' weight vectors in rank order; expert-major: the choice's own.
__device__ inline float sum_weights_here(const RowsHere& rows, bool rank_major, int num_topk) {
  const int lane = lane_index();
  float sum = 0.0f;
  if (!rank_major) {
    return (rows.lanes >> lane & 1) != 0 ? *rows.weights : 0.0f;
  }
  const uint64_t own = reinterpret_cast<uint64_t>(rows.weights);
  for_each_lane(rows.lanes, [&](int rank) {
    const float* weights = reinterpret_cast<const float*>(__shfl_sync(kAllLanes, own, rank));
    if (lane < num_topk) {
      sum += weights[lane];
    }
  });
  return sum;
}

}  // namespace ep4j
